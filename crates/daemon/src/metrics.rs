//! The page of metrics: what a registry holds, as Prometheus reads it.

mod process;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use process::Process;

/// Labels of a series, names first. The names of a family are the same in all of its series.
pub type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// A gauge of fractions.
pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Labels from names and values.
pub fn labels<const N: usize, V: Into<Cow<'static, str>>>(
    pairs: [(&'static str, V); N],
) -> Labels<N> {
    pairs.map(|(name, value)| (name, value.into()))
}

/// All metrics, in the text format of Prometheus, version 0.0.4.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // A String takes whatever is written; an error can only come from what cannot be written in this format at all.
    if let Err(error) = prometheus_text::encode(&mut text, registry) {
        tracing::warn!(%error, "some metrics cannot be written");
    }
    text
}

/// `GET /metrics`.
pub fn routes(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(async move || page(&registry)))
}

/// The answer to a scrape.
pub fn page(registry: &Registry) -> impl axum::response::IntoResponse + use<> {
    (
        [(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)],
        text(registry),
    )
}
