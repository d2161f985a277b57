//! Binary operators.

use std::collections::HashMap;

use super::column::{Column, Part, unique};
use super::{Grid, Query};
use crate::ast::{Cardinality, Expr, Matching, Operator};
use crate::{Error, Labels, NAME};

/// What an operator makes of two values; none where a comparison does not hold.
fn result(operator: Operator, left: f64, right: f64, bool: bool) -> Option<f64> {
    let compared = |holds: bool| match (bool, holds) {
        (true, holds) => Some(f64::from(u8::from(holds))),
        (false, true) => Some(left),
        (false, false) => None,
    };
    match operator {
        Operator::Add => Some(left + right),
        Operator::Subtract => Some(left - right),
        Operator::Multiply => Some(left * right),
        Operator::Divide => Some(left / right),
        Operator::Modulo => Some(left % right),
        Operator::Power => Some(left.powf(right)),
        Operator::Atan2 => Some(left.atan2(right)),
        #[allow(clippy::float_cmp, reason = "the language compares exactly")]
        Operator::Equal => compared(left == right),
        #[allow(clippy::float_cmp, reason = "the language compares exactly")]
        Operator::NotEqual => compared(left != right),
        Operator::Less => compared(left < right),
        Operator::LessEqual => compared(left <= right),
        Operator::Greater => compared(left > right),
        Operator::GreaterEqual => compared(left >= right),
        Operator::And | Operator::Or | Operator::Unless => None,
    }
}

impl Query<'_> {
    pub(super) fn binary(&self, expr: &Expr, grid: Grid) -> Result<Part, Error> {
        let Expr::Binary {
            operator,
            left,
            right,
            matching,
            bool,
        } = expr
        else {
            return Err(Error::execution("a binary operator was expected"));
        };
        let sides = (self.part(left, grid)?, self.part(right, grid)?);
        let (operator, bool) = (*operator, *bool);
        Ok(match sides {
            (Part::Scalar(left), Part::Scalar(right)) => {
                let pairs = left.into_iter().zip(right);
                Part::Scalar(
                    pairs
                        .map(|(left, right)| {
                            result(operator, left, right, true).unwrap_or(f64::NAN)
                        })
                        .collect(),
                )
            }
            (Part::Vector(columns), Part::Scalar(scalars)) => {
                Part::Vector(with_scalar(columns, operator, bool, |at, value| {
                    result(operator, value, scalar(&scalars, at), bool)
                })?)
            }
            (Part::Scalar(scalars), Part::Vector(columns)) => {
                Part::Vector(with_scalar(columns, operator, bool, |at, value| {
                    let made = result(operator, scalar(&scalars, at), value, bool)?;
                    // A comparison that filters keeps the vector's value, on whichever side that is.
                    Some(if operator.compares() && !bool {
                        value
                    } else {
                        made
                    })
                })?)
            }
            (Part::Vector(left), Part::Vector(right)) if operator.is_of_sets() => {
                Part::Vector(of_sets(operator, left, right, matching, grid)?)
            }
            (Part::Vector(left), Part::Vector(right)) => {
                let joint = Joint {
                    operator,
                    bool,
                    matching,
                    grid,
                };
                Part::Vector(self.joined(&joint, &left, &right)?)
            }
            _ => {
                return Err(Error::execution(
                    "binary expression must contain only scalar and instant vector types",
                ));
            }
        })
    }

    /// Arithmetic and comparisons of two vectors.
    fn joined(
        &self,
        joint: &Joint<'_>,
        left: &[Column],
        right: &[Column],
    ) -> Result<Vec<Column>, Error> {
        let is_swapped = matches!(joint.matching.cardinality, Cardinality::OneToMany(_));
        // `one` may have one series for each of `many`.
        let (many, one) = if is_swapped {
            (right, left)
        } else {
            (left, right)
        };
        let mut ones: HashMap<Labels, Vec<&Column>> = HashMap::new();
        for column in one {
            ones.entry(signature(&column.labels, joint.matching))
                .or_default()
                .push(column);
        }
        joint.check_ones(many, &ones)?;
        let mut made = Vec::new();
        let mut places: HashMap<(Labels, Labels), usize> = HashMap::new();
        // Times at which a result was made already, even if a comparison dropped it.
        let mut matched: Vec<Vec<bool>> = Vec::new();
        for column in many {
            let signature = signature(&column.labels, joint.matching);
            for other in ones.get(&signature).into_iter().flatten() {
                self.pay(joint.grid.count)?;
                let labels = joint.labels(&column.labels, &other.labels);
                // Of one to one no two may match at all; else no two that end in the same labels.
                let distinct = if joint.is_one_to_one() {
                    Labels::default()
                } else {
                    labels.clone()
                };
                let place = *places
                    .entry((signature.clone(), distinct))
                    .or_insert_with(|| {
                        matched.push(vec![false; joint.grid.count]);
                        matched.len() - 1
                    });
                let Some(matched) = matched.get_mut(place) else {
                    continue;
                };
                let values = joint.values(column, other, matched, is_swapped)?;
                made.push(Column { labels, values });
            }
        }
        made.retain(|column| !column.is_empty());
        unique(made)
    }
}

fn scalar(scalars: &[f64], at: usize) -> f64 {
    scalars.get(at).copied().unwrap_or(f64::NAN)
}

fn with_scalar(
    columns: Vec<Column>,
    operator: Operator,
    bool: bool,
    of: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Vec<Column>, Error> {
    if operator.compares() && !bool {
        let each = columns.into_iter().map(|column| Column {
            values: column
                .values
                .into_iter()
                .enumerate()
                .map(|(at, value)| of(at, value?))
                .collect(),
            labels: column.labels,
        });
        return Ok(each.filter(|column| !column.is_empty()).collect());
    }
    super::column::mapped(columns, of)
}

/// The labels that have to be the same on both sides.
fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let is_named = |name: &str| matching.labels.iter().any(|of| of == name);
    if matching.on {
        labels.only(is_named)
    } else {
        labels.only(|name| name != NAME && !is_named(name))
    }
}

/// Two vectors that are put together.
struct Joint<'a> {
    operator: Operator,
    bool: bool,
    matching: &'a Matching,
    grid: Grid,
}

impl Joint<'_> {
    fn is_one_to_one(&self) -> bool {
        self.matching.cardinality == Cardinality::OneToOne
    }

    /// That there is no more than one of the side that may have one, at each time when the other has any.
    fn check_ones(
        &self,
        many: &[Column],
        ones: &HashMap<Labels, Vec<&Column>>,
    ) -> Result<(), Error> {
        let is_there =
            |column: &Column, at: usize| column.values.get(at).is_some_and(Option::is_some);
        for (signature, columns) in ones.iter().filter(|(_, columns)| columns.len() > 1) {
            for at in 0..self.grid.count {
                let mut present = columns.iter().filter(|column| is_there(column, at));
                if let (Some(first), Some(second)) = (present.next(), present.next())
                    && many.iter().any(|column| is_there(column, at))
                {
                    let side = if matches!(self.matching.cardinality, Cardinality::OneToMany(_)) {
                        "left"
                    } else {
                        "right"
                    };
                    let (first, second) = (&first.labels, &second.labels);
                    return Err(Error::execution(format!(
                        "found duplicate series for the match group {signature} on the {side} hand-side of the operation: [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The labels of what is made of one of `many` and one of `one`.
    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let drops_name = self.bool || !self.operator.compares();
        let labels = if drops_name {
            many.nameless()
        } else {
            many.clone()
        };
        let is_named = |name: &str| self.matching.labels.iter().any(|of| of == name);
        match &self.matching.cardinality {
            Cardinality::OneToOne => labels.only(|name| is_named(name) == self.matching.on),
            Cardinality::ManyToOne(taken) | Cardinality::OneToMany(taken) => taken
                .iter()
                .fold(labels, |labels, name| labels.with(name, one.get(name))),
        }
    }

    fn values(
        &self,
        many: &Column,
        one: &Column,
        matched: &mut [bool],
        is_swapped: bool,
    ) -> Result<Vec<Option<f64>>, Error> {
        let mut values = Vec::with_capacity(self.grid.count);
        for ((own, other), matched) in many.values.iter().zip(&one.values).zip(matched) {
            let (Some(own), Some(other)) = (*own, *other) else {
                values.push(None);
                continue;
            };
            if std::mem::replace(matched, true) {
                return Err(Error::execution(if self.is_one_to_one() {
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                } else {
                    "multiple matches for labels: grouping labels must ensure unique matches"
                }));
            }
            let (left, right) = if is_swapped {
                (other, own)
            } else {
                (own, other)
            };
            values.push(result(self.operator, left, right, self.bool));
        }
        Ok(values)
    }
}

/// `and`, `or`, `unless`.
fn of_sets(
    operator: Operator,
    left: Vec<Column>,
    right: Vec<Column>,
    matching: &Matching,
    grid: Grid,
) -> Result<Vec<Column>, Error> {
    // Those of the left side go by what is on the right; with `or` it is the other way round.
    let (kept, judged, judges) = match operator {
        Operator::Or => (left.clone(), right, left),
        _ => (Vec::new(), left, right),
    };
    let mut present: HashMap<Labels, Vec<bool>> = HashMap::new();
    for column in &judges {
        let times = present
            .entry(signature(&column.labels, matching))
            .or_insert_with(|| vec![false; grid.count]);
        for (time, value) in times.iter_mut().zip(&column.values) {
            *time |= value.is_some();
        }
    }
    let wants = operator == Operator::And;
    let mut made = kept;
    for mut column in judged {
        let times = present.get(&signature(&column.labels, matching));
        for (at, value) in column.values.iter_mut().enumerate() {
            let is_present = times.is_some_and(|times| times.get(at).copied().unwrap_or(false));
            if is_present != wants {
                *value = None;
            }
        }
        if !column.is_empty() {
            made.push(column);
        }
    }
    unique(made)
}
