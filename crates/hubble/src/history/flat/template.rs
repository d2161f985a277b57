//! What stands in the places of a path's template: the only part of a path that is another one from request to request.

/// Between the parts, as no part of a segment has it.
const BETWEEN: char = '/';

/// What stands in the template's places, one after the other; none where template and parts do not give the path.
pub(super) fn parts(template: &str, path: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut left = path;
    let mut pieces = pieces(template).peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(text) => left = left.strip_prefix(text)?,
            Piece::Place => {
                let end = match pieces.peek() {
                    Some(Piece::Text(text)) => left.find(text)?,
                    Some(Piece::Place) => 0,
                    None => left.len(),
                };
                let (part, rest) = left.split_at(end);
                parts.push(part);
                left = rest;
            }
        }
    }
    let parts = parts.join(&BETWEEN.to_string());
    (filled(template, &parts) == path).then_some(parts)
}

/// The path of which these are the parts.
pub(super) fn filled(template: &str, parts: &str) -> String {
    let mut parts = parts.split(BETWEEN);
    let pieces = pieces(template).map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Place => parts.next().unwrap_or_default(),
    });
    pieces.collect()
}

enum Piece<'a> {
    Text(&'a str),
    /// `{id}`, `{uuid}` and the like.
    Place,
}

fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    template.split('{').enumerate().flat_map(|(number, piece)| {
        let (place, text) = match piece.split_once('}') {
            Some((_, text)) if number > 0 => (Some(Piece::Place), text),
            _ => (None, piece),
        };
        let text = (!text.is_empty()).then_some(Piece::Text(text));
        place.into_iter().chain(text)
    })
}

#[cfg(test)]
mod tests;
