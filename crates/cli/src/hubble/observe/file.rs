//! Flows of a file of JSON lines, as `-o json` and exporters write them.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, bail};
use api::hubble::{
    flow::Flow,
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
};
use hubble::{filter::Selection, mask::Mask};

/// The responses that a server would give to `request` if it had seen what the file holds.
pub(super) fn read(
    path: &Path,
    request: &GetFlowsRequest,
) -> anyhow::Result<VecDeque<GetFlowsResponse>> {
    let name = path.display();
    if path == Path::new("-") {
        return select(io::stdin().lock(), request).context("standard input");
    }
    let file = File::open(path).with_context(|| format!("--input-file {name}"))?;
    select(BufReader::new(file), request).with_context(|| format!("--input-file {name}"))
}

fn select(
    lines: impl BufRead,
    request: &GetFlowsRequest,
) -> anyhow::Result<VecDeque<GetFlowsResponse>> {
    if request.follow {
        bail!("a file cannot be followed");
    }
    let selection = Selection::compile(&request.whitelist, &request.blacklist)?;
    let paths = request
        .field_mask
        .as_ref()
        .map(|mask| mask.paths.as_slice())
        .unwrap_or_default();
    let mask = Mask::new(paths)?;
    let wanted = usize::try_from(request.number).unwrap_or(usize::MAX);
    let (mut kept, mut flows) = (VecDeque::new(), 0_usize);
    for (index, line) in lines.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let mut response = response(&line).with_context(|| format!("line {}", index + 1))?;
        if let Some(ResponseTypes::Flow(flow)) = &mut response.response_types {
            if !selection.matches(flow) || outside(flow, request) {
                continue;
            }
            if let Some(mask) = &mask {
                *flow = mask.apply(flow);
            }
            flows += 1;
        }
        kept.push_back(response);
        let full = wanted > 0 && flows >= wanted;
        if full && request.first {
            break;
        }
        while wanted > 0 && flows > wanted {
            if matches!(kept.pop_front(), Some(r) if is_flow(&r)) {
                flows -= 1;
            }
        }
    }
    Ok(kept)
}

fn is_flow(response: &GetFlowsResponse) -> bool {
    matches!(response.response_types, Some(ResponseTypes::Flow(_)))
}

fn outside(flow: &Flow, request: &GetFlowsRequest) -> bool {
    let time = flow.time.unwrap_or_default();
    request.since.is_some_and(|since| time < since)
        || request.until.is_some_and(|until| time > until)
}

/// A response, or a bare flow as old clients wrote it.
fn response(line: &str) -> anyhow::Result<GetFlowsResponse> {
    let response: GetFlowsResponse = serde_json::from_str(line)?;
    if response.response_types.is_some() {
        return Ok(response);
    }
    let flow: Flow = serde_json::from_str(line)?;
    Ok(GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: flow.time,
        response_types: Some(ResponseTypes::Flow(flow)),
    })
}
