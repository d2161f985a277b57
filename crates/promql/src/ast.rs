//! A query as a tree.

use crate::Matcher;

/// What an expression yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One number at each time.
    Scalar,
    /// A text.
    Text,
    /// Series with one value at each time.
    Vector,
    /// Series with all values of a time before each time.
    Matrix,
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

/// A fixed time (`@`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// The beginning of the query.
    Start,
    /// Its end.
    End,
}

/// Another time than that which is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Milliseconds back.
    pub offset: i64,
    /// A fixed time.
    pub at: Option<At>,
}

/// Series by their labels.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// What is asked of them, the name included.
    pub matchers: Vec<Matcher>,
    /// At which time.
    pub shift: Shift,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    /// Whether it compares.
    pub const fn compares(self) -> bool {
        use Operator::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        matches!(
            self,
            Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual
        )
    }

    /// Whether it is of sets.
    pub const fn is_of_sets(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// Which side of a binary operator may have several series for one of the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// Neither.
    #[default]
    OneToOne,
    /// The left one (`group_left`), which takes these labels of the other.
    ManyToOne(Vec<String>),
    /// The right one (`group_right`), which takes these labels of the other.
    OneToMany(Vec<String>),
}

/// Which series of both sides belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// `on` and not `ignoring`.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// How many.
    pub cardinality: Cardinality,
}

/// Aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the aggregation of its name")]
pub enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
}

/// Which labels make a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouping {
    /// All but these.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static [Kind],
    /// How many of them may be left out, from the last on; the last may come any number of times if it is `None`.
    pub optional: Option<usize>,
    /// What it yields.
    pub yields: Kind,
}

/// A query or a part of one.
#[derive(Clone, Debug)]
pub enum Expr {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// An instant vector.
    Vector(Selector),
    /// A range vector.
    Matrix {
        /// Which series.
        selector: Selector,
        /// Milliseconds.
        range: i64,
    },
    /// An expression evaluated at several times.
    Subquery {
        /// The expression.
        inner: Box<Self>,
        /// Milliseconds.
        range: i64,
        /// Milliseconds; absent: the evaluator's default.
        step: Option<i64>,
        /// At which time.
        shift: Shift,
    },
    /// In parentheses.
    Paren(Box<Self>),
    /// With the sign changed.
    Negate(Box<Self>),
    /// A function of arguments.
    Call {
        /// Which.
        function: &'static Function,
        /// Of what.
        arguments: Vec<Self>,
    },
    /// Groups of series put together.
    Aggregate {
        /// How.
        aggregation: Aggregation,
        /// `k`, a quantile or the name of a label, for those that take one.
        parameter: Option<Box<Self>>,
        /// Which series.
        inner: Box<Self>,
        /// Which groups.
        grouping: Grouping,
    },
    /// Two sides put together.
    Binary {
        /// How.
        operator: Operator,
        /// The left side.
        left: Box<Self>,
        /// The right side.
        right: Box<Self>,
        /// Which series belong together.
        matching: Matching,
        /// A comparison yields 0 or 1 and does not filter.
        bool: bool,
    },
}

impl Expr {
    /// What it yields.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Scalar,
            Self::Text(_) => Kind::Text,
            Self::Vector(_) | Self::Aggregate { .. } => Kind::Vector,
            Self::Matrix { .. } | Self::Subquery { .. } => Kind::Matrix,
            Self::Paren(inner) | Self::Negate(inner) => inner.kind(),
            Self::Call { function, .. } => function.yields,
            Self::Binary { left, right, .. } => {
                if left.kind() == Kind::Scalar && right.kind() == Kind::Scalar {
                    Kind::Scalar
                } else {
                    Kind::Vector
                }
            }
        }
    }

    /// Itself, or what is in its parentheses.
    pub fn bare(&self) -> &Self {
        match self {
            Self::Paren(inner) => inner.bare(),
            other => other,
        }
    }
}
