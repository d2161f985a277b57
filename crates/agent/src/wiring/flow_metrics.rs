//! What of flows goes to Prometheus, and to files.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use hubble::export::otlp::Otlp;
use hubble::export::{self, Dynamic, Exporter, Tally};
use hubble::follow::Followed;
use hubble::intake::Intake;
use hubble::metrics::page::{self, Page};
use hubble::metrics::{Metrics, Shown, read};
use hubble::observer::Observer;
use reconcile::TaskGroup;
use tokio_util::sync::CancellationToken;

use crate::config::{Exports, FlowMetrics, WhichMetrics};

/// What exporters show.
pub(super) type Exported = (Arc<Tally>, Option<Arc<export::Status>>);

/// Starts all exporters; `otlp` is the one of which the intake knows the meter.
pub(super) fn start_exports(
    exports: &Exports,
    otlp: Option<Otlp>,
    intake: &Arc<Intake>,
    tasks: &TaskGroup,
) -> anyhow::Result<Exported> {
    let tally = Arc::new(Tally::default());
    if let Some(otlp) = otlp {
        otlp.start(intake, &tally, tasks);
    }
    if let Some(target) = &exports.fixed {
        let exporter = Exporter::new(target.clone(), intake, &tally)
            .context("export flows (hubble-export-file-path)")?;
        tasks.spawn("flow exporter", |stop| exporter.run(stop));
    }
    let status = exports.file.clone().map(|path| {
        let dynamic = Dynamic::new(Arc::clone(intake), Arc::clone(&tally));
        let status = dynamic.status();
        let file = Followed::new(path);
        tasks.spawn("flow exporters", |stop| dynamic.run(file, stop));
        status
    });
    Ok((tally, status))
}

/// Counts flows and serves the counts.
pub(super) async fn serve_flow_metrics(
    wanted: &FlowMetrics,
    intake: &Arc<Intake>,
    (tally, exporters): Exported,
    observer: &Observer,
    tasks: &TaskGroup,
) -> anyhow::Result<()> {
    let metrics = intake.metrics();
    match &wanted.which {
        WhichMetrics::Fixed(fixed) => {
            metrics.apply(fixed).context("hubble-metrics")?;
        }
        WhichMetrics::File(path) => tasks.spawn("wanted flow metrics", {
            let (metrics, path) = (Arc::clone(metrics), path.clone());
            move |stop| follow_wanted(metrics, path, stop)
        }),
    }
    let mut registry = page::registry(Shown {
        metrics: Arc::clone(metrics),
        ring: Arc::clone(intake.ring()),
    });
    registry.register_collector(observer.calls());
    registry.register_collector(Box::new(export::Shown(tally)));
    if let Some(status) = exporters {
        registry.register_collector(Box::new(export::DynamicShown(status)));
    }
    let (address, formats) = (wanted.address, wanted.formats);
    let page = Page::bind(address, wanted.security.clone())
        .await
        .context("hubble-metrics-server")?;
    tasks.spawn("flow metrics", move |stop| async move {
        if let Err(error) = page.serve(registry, formats, stop).await {
            tracing::error!(%error, "metrics of flows are not served any more");
        }
    });
    Ok(())
}

/// Counts what a file wants, as it changes.
async fn follow_wanted(metrics: Arc<Metrics>, path: PathBuf, stop: CancellationToken) {
    let mut file = Followed::new(path);
    while let Some(text) = file.changed(&stop).await {
        let path = file.path().display();
        match read(&text).and_then(|wanted| metrics.apply(&wanted)) {
            Ok(change) => tracing::info!(%path, ?change, "metrics of flows set"),
            Err(error) => tracing::error!(%error, %path, "the former metrics of flows go on"),
        }
    }
}
