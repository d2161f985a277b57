//! The text of a query as a tree, with the types of its parts checked.

mod functions;
mod lexer;
mod selector;

use lexer::{Token, failure, tokens};

use crate::Error;
use crate::ast::{Aggregation, Cardinality, Expr, Grouping, Kind, Matching, Operator};
use crate::labels::Matcher;

/// Parentheses, calls and signs that may be within each other.
const DEPTH: usize = 100;
/// Operators that a query may have.
const CHAIN: usize = 500;
/// Longest query, bytes.
const LENGTH: usize = 64 << 10;

/// Reads a query.
pub fn parse(query: &str) -> Result<Expr, Error> {
    let mut parser = Parser::new(query)?;
    if *parser.peek() == Token::End {
        return Err(Error::bad(
            "unknown position: parse error: no expression found in input",
        ));
    }
    let expr = parser.binary(0)?;
    parser.end()?;
    Ok(expr)
}

/// Reads a selector alone, as the list of series is asked with: `name{label="value"}`.
pub fn matchers(selector: &str) -> Result<Vec<Matcher>, Error> {
    match parse(selector)?.bare() {
        Expr::Vector(found) if found.shift == crate::ast::Shift::default() => {
            Ok(found.matchers.clone())
        }
        _ => Err(Error::bad(format!("invalid selector {selector:?}"))),
    }
}

/// Milliseconds of a duration such as `1h30m`.
pub fn duration(text: &str) -> Option<i64> {
    lexer::milliseconds(text)
        .filter(|of| *of < 9e15)
        .map(|of| of as i64)
}

/// The operators, how strongly each binds, and what it is.
const OPERATORS: &[(&str, u8, Operator)] = &[
    ("or", 1, Operator::Or),
    ("and", 2, Operator::And),
    ("unless", 2, Operator::Unless),
    ("==", 3, Operator::Equal),
    ("!=", 3, Operator::NotEqual),
    ("<=", 3, Operator::LessEqual),
    ("<", 3, Operator::Less),
    (">=", 3, Operator::GreaterEqual),
    (">", 3, Operator::Greater),
    ("+", 4, Operator::Add),
    ("-", 4, Operator::Subtract),
    ("*", 5, Operator::Multiply),
    ("/", 5, Operator::Divide),
    ("%", 5, Operator::Modulo),
    ("atan2", 5, Operator::Atan2),
    ("^", POWER, Operator::Power),
];
/// How strongly a power binds; a sign binds less, everything else less than that.
const POWER: u8 = 6;

const AGGREGATIONS: &[(&str, Aggregation)] = &[
    ("sum", Aggregation::Sum),
    ("avg", Aggregation::Avg),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
    ("count", Aggregation::Count),
    ("group", Aggregation::Group),
    ("stddev", Aggregation::Stddev),
    ("stdvar", Aggregation::Stdvar),
    ("topk", Aggregation::Topk),
    ("bottomk", Aggregation::Bottomk),
    ("quantile", Aggregation::Quantile),
    ("count_values", Aggregation::CountValues),
];

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    operators: usize,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str) -> Result<Self, Error> {
        if query.len() > LENGTH {
            return Err(Error::bad(format!(
                "a query may have {LENGTH} bytes at most"
            )));
        }
        Ok(Self {
            query,
            tokens: tokens(query)?,
            next: 0,
            depth: 0,
            operators: 0,
        })
    }

    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(_, token)| token)
    }

    /// The one after the next.
    fn peek_second(&self) -> &Token {
        self.tokens
            .get(self.next + 1)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    /// Where the next token begins.
    fn place(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.query.len(), |(at, _)| *at)
    }

    fn failure(&self, at: usize, reason: impl AsRef<str>) -> Error {
        failure(self.query, at, reason.as_ref())
    }

    fn unexpected(&self, context: &str) -> Error {
        let found = match self.peek() {
            Token::Name(name) => format!("identifier {name:?}"),
            Token::Number(number) => format!("number {number}"),
            Token::Text(text) => format!("string {text:?}"),
            Token::Sign(sign) => format!("{sign:?}"),
            Token::End => "end of input".into(),
        };
        self.failure(self.place(), format!("unexpected {found} in {context}"))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    /// Whether the next is this keyword, in any case.
    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(found) if found.eq_ignore_ascii_case(word))
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.next += usize::from(found);
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str, context: &str) -> Result<(), Error> {
        if self.takes_sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(context))
    }

    fn end(&self) -> Result<(), Error> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected("expression")),
        }
    }

    fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= DEPTH {
            return Err(self.failure(
                self.place(),
                format!("more than {DEPTH} expressions within each other"),
            ));
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }

    /// The operator that comes next, if it binds at least as strongly as `least`.
    fn operator(&self, least: u8) -> Option<(u8, Operator)> {
        let found = OPERATORS.iter().find(|(text, ..)| match self.peek() {
            Token::Sign(sign) => sign == text,
            Token::Name(name) => name.eq_ignore_ascii_case(text),
            _ => false,
        });
        found
            .filter(|(_, strength, _)| *strength >= least)
            .map(|(_, strength, operator)| (*strength, *operator))
    }

    fn binary(&mut self, least: u8) -> Result<Expr, Error> {
        let mut left = self.nested(Self::unary)?;
        while let Some((strength, operator)) = self.operator(least) {
            // Each operator is a level of the tree, too.
            self.operators += 1;
            if self.operators > CHAIN {
                return Err(self.failure(self.place(), format!("more than {CHAIN} operators")));
            }
            let at = self.place();
            self.take();
            let bool = self.takes_word("bool");
            let matching = self.matching(at, operator)?;
            // Powers go from the right to the left, all others from the left to the right.
            let above = if operator == Operator::Power {
                strength
            } else {
                strength + 1
            };
            let right = self.nested(|parser| parser.binary(above))?;
            self.check_sides(at, operator, (&left, &right), matching.as_ref(), bool)?;
            left = Expr::Binary {
                operator,
                left: Box::new(left),
                right: Box::new(right),
                matching: matching.unwrap_or_default(),
                bool,
            };
        }
        Ok(left)
    }

    fn check_sides(
        &self,
        at: usize,
        operator: Operator,
        sides: (&Expr, &Expr),
        matching: Option<&Matching>,
        bool: bool,
    ) -> Result<(), Error> {
        let kinds = [sides.0.kind(), sides.1.kind()];
        let are_scalars = kinds == [Kind::Scalar; 2];
        let reason = if kinds
            .iter()
            .any(|kind| !matches!(kind, Kind::Scalar | Kind::Vector))
        {
            "binary expression must contain only scalar and instant vector types"
        } else if bool && !operator.compares() {
            "bool modifier can only be used on comparison operators"
        } else if operator.compares() && !bool && are_scalars {
            "comparisons between scalars must use BOOL modifier"
        } else if operator.is_of_sets() && kinds.contains(&Kind::Scalar) {
            "set operator not allowed in binary scalar expression"
        } else if matching.is_some() && kinds.contains(&Kind::Scalar) {
            "vector matching only allowed between instant vectors"
        } else {
            return Ok(());
        };
        Err(self.failure(at, reason))
    }

    /// `on`, `ignoring`, `group_left` and `group_right`.
    fn matching(&mut self, at: usize, operator: Operator) -> Result<Option<Matching>, Error> {
        let on = self.is_word("on");
        if !on && !self.is_word("ignoring") {
            return Ok(None);
        }
        self.take();
        let labels = self.names()?;
        let left = self.is_word("group_left");
        let mut cardinality = Cardinality::OneToOne;
        if left || self.is_word("group_right") {
            self.take();
            let taken = if self.is_sign("(") {
                self.names()?
            } else {
                Vec::new()
            };
            if operator.is_of_sets() {
                return Err(self.failure(at, "no grouping allowed for set operations"));
            }
            if let Some(both) = taken.iter().find(|name| on && labels.contains(name)) {
                return Err(self.failure(
                    at,
                    format!("label {both:?} must not occur in ON and GROUP clause at once"),
                ));
            }
            cardinality = if left {
                Cardinality::ManyToOne(taken)
            } else {
                Cardinality::OneToMany(taken)
            };
        }
        Ok(Some(Matching {
            on,
            labels,
            cardinality,
        }))
    }

    /// Names of labels in parentheses.
    fn names(&mut self) -> Result<Vec<String>, Error> {
        self.expect("(", "grouping opts")?;
        let mut names = Vec::new();
        while !self.takes_sign(")") {
            match self.take() {
                Token::Name(name) if !name.contains(':') => names.push(name),
                Token::Text(name) if !name.is_empty() => names.push(name),
                _ => {
                    self.next -= 1;
                    return Err(self.unexpected("grouping opts, expected label"));
                }
            }
            if !self.takes_sign(",") && !self.is_sign(")") {
                return Err(self.unexpected("grouping opts, expected \",\" or \")\""));
            }
        }
        Ok(names)
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        let at = self.place();
        let negates = self.is_sign("-");
        if !negates && !self.is_sign("+") {
            return self.postfix();
        }
        self.take();
        let inner = self.nested(|parser| parser.binary(POWER))?;
        match inner {
            Expr::Number(number) if negates => Ok(Expr::Number(-number)),
            _ if !matches!(inner.kind(), Kind::Scalar | Kind::Vector) => Err(self.failure(
                at,
                format!("unary expression only allowed on expressions of type scalar or instant vector, got {:?}", inner.kind().name()),
            )),
            inner if negates => Ok(Expr::Negate(Box::new(inner))),
            inner => Ok(inner),
        }
    }

    fn primary(&mut self) -> Result<Expr, Error> {
        let at = self.place();
        match self.peek().clone() {
            Token::Number(number) => {
                self.take();
                Ok(Expr::Number(number))
            }
            Token::Text(text) => {
                self.take();
                Ok(Expr::Text(text))
            }
            Token::Sign("(") => {
                self.take();
                let inner = self.nested(|parser| parser.binary(0))?;
                self.expect(")", "paren expression")?;
                Ok(Expr::Paren(Box::new(inner)))
            }
            Token::Sign("{") => self.selector(None),
            Token::Name(name) => self.named(at, &name),
            _ => Err(self.unexpected("expression")),
        }
    }

    fn named(&mut self, at: usize, name: &str) -> Result<Expr, Error> {
        let word = name.to_ascii_lowercase();
        let follows = |word: &str| matches!(self.peek_second(), Token::Name(next) if next.eq_ignore_ascii_case(word));
        let is_call = *self.peek_second() == Token::Sign("(");
        let aggregation = AGGREGATIONS.iter().find(|(of, _)| *of == word);
        if let Some((_, aggregation)) = aggregation
            && (is_call || follows("by") || follows("without"))
        {
            self.take();
            return self.aggregate(at, *aggregation);
        }
        if is_call {
            self.take();
            return self.call(at, name);
        }
        match word.as_str() {
            "inf" => {
                self.take();
                Ok(Expr::Number(f64::INFINITY))
            }
            "nan" => {
                self.take();
                Ok(Expr::Number(f64::NAN))
            }
            _ => {
                self.take();
                self.selector(Some(name))
            }
        }
    }

    /// Arguments in parentheses.
    fn arguments(&mut self) -> Result<Vec<Expr>, Error> {
        self.expect("(", "function call")?;
        let mut arguments = Vec::new();
        if self.takes_sign(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.nested(|parser| parser.binary(0))?);
            if self.takes_sign(")") {
                return Ok(arguments);
            }
            self.expect(",", "function call, expected \",\" or \")\"")?;
        }
    }

    fn call(&mut self, at: usize, name: &str) -> Result<Expr, Error> {
        let Some(function) = functions::find(name) else {
            return Err(self.failure(at, format!("unknown function with name {name:?}")));
        };
        let arguments = self.arguments()?;
        functions::check(function, &arguments).map_err(|reason| self.failure(at, reason))?;
        Ok(Expr::Call {
            function,
            arguments,
        })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Error> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.take();
        Ok(Some(Grouping {
            without,
            labels: self.names()?,
        }))
    }

    fn aggregate(&mut self, at: usize, aggregation: Aggregation) -> Result<Expr, Error> {
        let before = self.grouping()?;
        let mut arguments = self.arguments()?;
        let after = if before.is_none() {
            self.grouping()?
        } else {
            None
        };
        let wanted = match aggregation {
            Aggregation::Topk | Aggregation::Bottomk | Aggregation::Quantile => Some(Kind::Scalar),
            Aggregation::CountValues => Some(Kind::Text),
            _ => None,
        };
        let count = 1 + usize::from(wanted.is_some());
        if arguments.len() != count {
            let found = arguments.len();
            let reason = format!(
                "wrong number of arguments for aggregate expression provided, expected {count}, got {found}"
            );
            return Err(self.failure(at, reason));
        }
        let expect = |expr: &Expr, kind: Kind, of: &str| {
            let found = expr.kind();
            let reason = || {
                format!(
                    "expected type {} in {of}, got {}",
                    kind.name(),
                    found.name()
                )
            };
            if found == kind {
                Ok(())
            } else {
                Err(self.failure(at, reason()))
            }
        };
        let inner = arguments
            .pop()
            .map(Box::new)
            .ok_or_else(|| self.unexpected("aggregation"))?;
        let parameter = arguments.pop().map(Box::new);
        expect(&inner, Kind::Vector, "aggregation expression")?;
        if let (Some(kind), Some(parameter)) = (wanted, &parameter) {
            expect(parameter, kind, "aggregation parameter")?;
        }
        Ok(Expr::Aggregate {
            aggregation,
            parameter,
            inner,
            grouping: before.or(after).unwrap_or_default(),
        })
    }
}
