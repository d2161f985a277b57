//! Blanks comments and quoted text out of Rust source, line for line, so that a rule sees only code.

/// The same number of lines, with a space for every character of a comment, a string or a character literal.
pub(crate) fn code(text: &str) -> String {
    let mut lexer = Lexer {
        rest: text,
        out: String::with_capacity(text.len()),
    };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.out
}

struct Lexer<'a> {
    rest: &'a str,
    out: String,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some(length) = raw_string(rest).filter(|_| !self.in_word()) {
            self.blank(length);
        } else if rest.starts_with('"') {
            self.blank(quoted(rest));
        } else if let Some(length) = character(rest) {
            self.blank(length);
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            self.out.push_str(&rest[..length]);
            self.rest = &rest[length..];
        }
    }

    /// Whether the last character belongs to a name, so that an `r` after it begins no raw string.
    fn in_word(&self) -> bool {
        self.out
            .chars()
            .next_back()
            .is_some_and(|last| last.is_alphanumeric() || last == '_')
    }

    fn blank(&mut self, length: usize) {
        let (blanked, rest) = self.rest.split_at(length);
        self.out.extend(
            blanked
                .chars()
                .map(|character| if character == '\n' { '\n' } else { ' ' }),
        );
        self.rest = rest;
    }
}

/// Length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a string with its quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a raw string such as `r#"…"#` or `br"…"`, if the text begins with one.
fn raw_string(text: &str) -> Option<usize> {
    let mark = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let fences = mark.bytes().take_while(|byte| *byte == b'#').count();
    let body = mark[fences..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(fences));
    let begin = text.len() - body.len();
    Some(
        body.find(&close)
            .map_or(text.len(), |end| begin + end + close.len()),
    )
}

/// Length of a character literal, if the text begins with one and not with a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    if let Some(escape) = body.strip_prefix('\\') {
        let first = escape.chars().next()?.len_utf8();
        return escape[first..].find('\'').map(|end| 2 + first + end + 1);
    }
    let first = body.chars().next()?.len_utf8();
    body[first..].starts_with('\'').then_some(1 + first + 1)
}
