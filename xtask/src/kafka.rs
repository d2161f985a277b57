//! Kafka for the demo: its jars, as `tools/kafka/pom.xml` pins them, by Maven.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::image::digest_of;
use crate::place::Place;
use crate::process::run;
use crate::setup::{self, Part};

/// Where the demo looks for the jars.
pub(crate) const VARIABLE: &str = "AXONEME_KAFKA";

const PARTS: &[Part] = &[
    Part {
        file: "/usr/bin/java",
        package: "default-jre-headless",
    },
    Part {
        file: "/usr/bin/mvn",
        package: "maven",
    },
];

/// The folder of the jars; fetched once for each state of the pins.
pub(crate) fn jars(place: &Place) -> Result<PathBuf> {
    setup::need(PARTS)?;
    let pins = place.repo.join("tools/kafka/pom.xml");
    let key = digest_of(&fs::read(&pins)?);
    let folder = place.cache.join(format!("tools/kafka-{}", &key[..16]));
    if folder.exists() {
        return Ok(folder);
    }
    let begun = Instant::now();
    println!("fetching Kafka for the demo (once; about 55 MB)");
    let unfinished = folder.with_extension(format!("unfinished-{}", std::process::id()));
    run(Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pins)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", unfinished.display())))?;
    // Another run may have been faster.
    if fs::rename(&unfinished, &folder).is_err() {
        fs::remove_dir_all(&unfinished)?;
    }
    println!("fetched in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(folder)
}
