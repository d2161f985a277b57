//! The files of the web interface, which are inside of this program, compressed.

use std::io::Read as _;

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use tonic::Status;

use super::{failed, takes_gzip};

/// Path and contents.
type File = (&'static str, &'static [u8]);

/// All of them; written by the build script.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/ui.rs"));

/// The page of all screens: the script reads from the path which one is meant.
const PAGE: &str = "/index.html";

/// The file of a path; the page for the path of a screen.
pub(super) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let wanted = if path.starts_with("/api/") || path.contains('.') {
        path
    } else {
        PAGE
    };
    let Some((name, compressed)) = FILES.iter().find(|(name, _)| *name == wanted) else {
        return failed(&Status::not_found(format!("nothing is at {path:?}")));
    };
    let head = [
        (header::CONTENT_TYPE, content_type(name)),
        (header::CACHE_CONTROL, caching(name)),
        (header::VARY, "accept-encoding"),
    ];
    if takes_gzip(&headers) {
        let encoding: [(HeaderName, &str); 1] = [(header::CONTENT_ENCODING, "gzip")];
        return (head, encoding, *compressed).into_response();
    }
    let mut plain = Vec::new();
    match GzDecoder::new(*compressed).read_to_end(&mut plain) {
        Ok(_) => (head, plain).into_response(),
        Err(error) => failed(&Status::internal(error.to_string())),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// What has a hash of its contents in its name never changes.
fn caching(name: &str) -> &'static str {
    if name.starts_with("/assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}
