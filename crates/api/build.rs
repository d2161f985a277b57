//! Compiles the definitions of `proto/` to messages, services and canonical JSON, without `protoc`.

use std::{env, error::Error, fs, path::Path};

use prost::Message;
use regex::Regex;

const ROOTS: [&str; 5] = [
    "answers/answers.proto",
    "flow/flow.proto",
    "observer/observer.proto",
    "peer/peer.proto",
    "relay/relay.proto",
];

/// Input of people, where a misspelt field must not silently select everything.
const STRICT: [&str; 2] = [".flow.FlowFilter", ".flow.EventTypeFilter"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let descriptors = protox::compile(ROOTS, ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    fs::write(out.join("descriptors.bin"), &encoded)?;

    tonic_prost_build::configure()
        .extern_path(".google.protobuf.Timestamp", "crate::hubble::Timestamp")
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_well_known_types(true)
        .compile_fds(descriptors)?;

    let mut lenient = pbjson_build::Builder::new();
    lenient
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .extern_path(".google.protobuf.Timestamp", "crate::hubble::Timestamp")
        .extern_path(".google.protobuf", "::pbjson_types")
        .ignore_unknown_fields()
        .exclude(STRICT)
        .build(&[".answers", ".flow", ".observer", ".peer", ".relay"])?;
    let strict_out = out.join("strict");
    fs::create_dir_all(&strict_out)?;
    let mut strict = pbjson_build::Builder::new();
    strict
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .extern_path(".google.protobuf.Timestamp", "crate::hubble::Timestamp")
        .extern_path(".google.protobuf", "::pbjson_types")
        .out_dir(&strict_out)
        .build(&STRICT)?;

    for file in ["answers", "flow", "observer", "peer", "relay"] {
        open_enums(&out.join(format!("{file}.serde.rs")))?;
    }
    open_enums(&strict_out.join("flow.serde.rs"))
}

/// The generated JSON refuses numbers that an enum does not know; proto3 keeps them. So enum fields go through
/// `OpenEnum`, which falls back to the number.
fn open_enums(path: &Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let write = Regex::new(
        r#"([A-Za-z0-9_:]+)::try_from\(([^\n]+)\)\n\s*\.map_err\(\|_\| serde::ser::Error::custom\(format!\("Invalid variant \{\}", [^\n]+\)\)\)"#,
    )?;
    let text = write.replace_all(
        &text,
        "Ok::<_, serde::de::value::Error>(crate::hubble::OpenEnum::<$1>::new($2)).map_err(serde::ser::Error::custom)",
    );
    let read_one = Regex::new(r"map_\.next_value::<([A-Za-z0-9_:]+)>\(\)\? as i32")?;
    let text = read_one.replace_all(
        &text,
        "map_.next_value::<crate::hubble::OpenEnum<$1>>()?.number()",
    );
    let read_many = Regex::new(
        r"map_\.next_value::<Vec<([A-Za-z0-9_:]+)>>\(\)\?\.into_iter\(\)\.map\(\|x\| x as i32\)",
    )?;
    let text = read_many.replace_all(
        &text,
        "map_.next_value::<Vec<crate::hubble::OpenEnum<$1>>>()?.into_iter().map(|x| x.number())",
    );
    if text.contains("Invalid variant") || text.contains(" as i32") {
        return Err(format!("an enum field of {} kept the closed form", path.display()).into());
    }
    fs::write(path, text.as_bytes())?;
    Ok(())
}
