//! A query as a list of tokens.

use crate::Error;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A number or a duration in seconds.
    Number(f64),
    /// A text, without its quotes.
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    /// Nothing more.
    End,
}

/// Operators and brackets, those first that begin as another.
const SIGNS: &[&str] = &[
    "==", "!=", "=~", "!~", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", "{",
    "}", "[", "]", ",", ":", "@",
];

/// Tokens with the byte at which each begins; [`Token::End`] is the last.
pub(super) fn tokens(query: &str) -> Result<Vec<(usize, Token)>, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut in_range = false;
    while let Some(first) = query[at..].chars().next() {
        let rest = &query[at..];
        let (token, length) = match first {
            ' ' | '\t' | '\n' | '\r' => {
                at += 1;
                continue;
            }
            '#' => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' | '\'' | '`' => text(rest).map_err(|reason| failure(query, at, &reason))?,
            '0'..='9' | '.' => number(rest).map_err(|reason| failure(query, at, &reason))?,
            'a'..='z' | 'A'..='Z' | '_' => name(rest),
            ':' if !in_range => name(rest),
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => {
                    return Err(failure(
                        query,
                        at,
                        &format!("unexpected character: {first:?}"),
                    ));
                }
            },
        };
        match token {
            Token::Sign("[") => in_range = true,
            Token::Sign("]") => in_range = false,
            _ => {}
        }
        tokens.push((at, token));
        at += length;
    }
    tokens.push((at, Token::End));
    Ok(tokens)
}

/// An error with its place, as Prometheus writes it.
pub(super) fn failure(query: &str, at: usize, reason: &str) -> Error {
    let before = query.get(..at).unwrap_or(query);
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    Error::bad(format!("{line}:{column}: parse error: {reason}"))
}

fn name(rest: &str) -> (Token, usize) {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let length = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    (Token::Name(rest[..length].to_owned()), length)
}

/// Milliseconds of each unit, in the order in which they have to be written.
const UNITS: &[(&str, f64)] = &[
    ("y", 31_536_000_000.0),
    ("w", 604_800_000.0),
    ("d", 86_400_000.0),
    ("h", 3_600_000.0),
    ("m", 60_000.0),
    ("s", 1000.0),
    ("ms", 1.0),
];

/// Length of the digits at the beginning.
fn digits(rest: &str) -> usize {
    rest.find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len())
}

fn letters(rest: &str) -> usize {
    rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .unwrap_or(rest.len())
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let bad = |length: usize| format!("bad number or duration syntax: {:?}", &rest[..length]);
    if let Some(hexadecimal) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let length = letters(hexadecimal);
        let value = u64::from_str_radix(&hexadecimal[..length], 16).map_err(|_| bad(length + 2))?;
        #[allow(clippy::cast_precision_loss, reason = "numbers are floating point")]
        return Ok((Token::Number(value as f64), length + 2));
    }
    let whole = digits(rest);
    let unit = rest[whole..].chars().next();
    if whole > 0 && unit.is_some_and(|unit| "ywdhms".contains(unit)) {
        let length = letters(rest);
        let milliseconds = milliseconds(&rest[..length]).ok_or_else(|| bad(length))?;
        return Ok((Token::Number(milliseconds / 1000.0), length));
    }
    let mut length = whole;
    if rest[length..].starts_with('.') {
        length += 1 + digits(&rest[length + 1..]);
    }
    let exponent = &rest[length..];
    if exponent.starts_with(['e', 'E']) {
        let sign = usize::from(exponent[1..].starts_with(['+', '-']));
        length += 1 + sign + digits(&exponent[1 + sign..]);
    }
    if letters(&rest[length..]) > 0 {
        return Err(bad(length + letters(&rest[length..])));
    }
    let value = rest[..length].parse().map_err(|_| bad(length))?;
    Ok((Token::Number(value), length))
}

/// Milliseconds of a duration such as `1h30m`.
pub(super) fn milliseconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut sum = 0.0;
    while !rest.is_empty() {
        let length = digits(rest);
        let count: f64 = rest[..length].parse().ok()?;
        rest = &rest[length..];
        let written = &rest[..rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len())];
        let (_, scale) = units.by_ref().find(|(unit, _)| *unit == written)?;
        sum += count * scale;
        rest = &rest[written.len()..];
    }
    (!text.is_empty()).then_some(sum)
}

/// A text in quotes, with the escapes of Go.
fn text(rest: &str) -> Result<(Token, usize), String> {
    let mut letters = rest.char_indices();
    let quote = letters.next().map_or('"', |(_, quote)| quote);
    let mut value = String::new();
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return Ok((Token::Text(value), at + letter.len_utf8()));
        }
        match letter {
            '\n' if quote != '`' => break,
            '\\' if quote != '`' => {
                let (letter, length) =
                    escape(&rest[at + 1..], quote).ok_or("unknown escape sequence")?;
                value.push(letter);
                for _ in rest[at + 1..at + 1 + length].chars() {
                    letters.next();
                }
            }
            _ => value.push(letter),
        }
    }
    Err("unterminated quoted string".into())
}

/// What follows a backslash, and its length in bytes.
fn escape(rest: &str, quote: char) -> Option<(char, usize)> {
    let first = rest.chars().next()?;
    let code = |from: usize, length: usize, radix: u32| {
        let digits = rest.get(from..from + length)?;
        let code = u32::from_str_radix(digits, radix).ok()?;
        Some((char::from_u32(code)?, from + length))
    };
    match first {
        'a' => Some(('\x07', 1)),
        'b' => Some(('\x08', 1)),
        'f' => Some(('\x0c', 1)),
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        't' => Some(('\t', 1)),
        'v' => Some(('\x0b', 1)),
        '\\' => Some(('\\', 1)),
        'x' => code(1, 2, 16),
        'u' => code(1, 4, 16),
        'U' => code(1, 8, 16),
        '0'..='7' => code(0, 3, 8),
        _ if first == quote => Some((quote, 1)),
        _ => None,
    }
}
