//! Links a program of the object to the caller's maps, puts answers in the place of helpers, and loads it.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use aya_obj::btf::{Btf, BtfFeatures, BtfType, Func, FuncLinkage, FuncProto};
use aya_obj::{EbpfSectionKind, Function, Object};
use datapath::abi::{Plain, node::Features};

use super::{Result, answers, failed, table};
use crate::layout::MapKind;
use crate::object::{Hook, OBJECT};
use crate::sys;

/// `BPF_F_RDONLY_PROG`
const CONSTANT: u32 = 1 << 7;
/// Kernels that these tests run on know all of BTF.
const ALL_OF_BTF: BtfFeatures = BtfFeatures::new(true, true, true, true, true, true, true, true);

/// Loads the program of a hook with these constants, on the maps that `find` knows by name.
pub(super) fn program<'a>(
    features: &Features,
    hook: Hook,
    find: &dyn Fn(&str) -> Option<BorrowedFd<'a>>,
    answers: answers::Maps<'_>,
) -> Result<OwnedFd> {
    let mut object = Object::parse(OBJECT).map_err(failed("read the object"))?;
    let constants = HashMap::from([("FEATURES", (features.as_bytes(), true))]);
    object
        .patch_map_data(constants)
        .map_err(failed("set the constants"))?;
    object
        .fixup_and_sanitize_btf(&ALL_OF_BTF)
        .map_err(failed("read the types"))?;
    let data = link(&mut object, find)?;
    let name = hook.program();
    let function = object
        .programs
        .get(name)
        .and_then(|program| object.functions.get(&program.function_key()))
        .ok_or_else(|| failed(format!("load '{name}'"))("the object has none"))?
        .clone();
    let before = answers::before(answers.script);
    let shift = before.len() as u32;
    let (own, starts) = substitute(instructions(&function), answers);
    let program = [before, own].concat();
    let types = object
        .btf
        .as_mut()
        .ok_or_else(|| failed("read the types")("the object has none"))?;
    let answer = answer_type(types);
    // The first function begins with what comes before it, the others have moved; the answers follow.
    let functions = function.func_info.func_info.iter().map(|info| {
        let moved = if info.insn_off == 0 {
            0
        } else {
            info.insn_off + shift
        };
        [moved, info.type_id]
    });
    let answers = starts.iter().map(|start| [start + shift, answer]);
    let starts: Vec<[u32; 2]> = functions.chain(answers).collect();
    let btf = sys::btf_load(&types.to_bytes()).map_err(failed("load the types"))?;
    let functions = sys::Functions {
        btf: btf.as_fd(),
        starts: &starts,
    };
    let loaded = sys::program_load_with_functions((sys::CLASSIFIER, 0), &program, Some(functions));
    drop(data);
    loaded.map_err(|(error, log)| {
        let tail: Vec<&str> = log.lines().rev().take(30).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        failed(format!("load '{name}'"))(format!("{error}\n{}", tail.join("\n")))
    })
}

/// Links maps and functions; gives the maps of data, which must live until the program is loaded.
fn link<'a>(
    object: &mut Object,
    find: &dyn Fn(&str) -> Option<BorrowedFd<'a>>,
) -> Result<Vec<OwnedFd>> {
    let maps = std::mem::take(&mut object.maps);
    let mut data = Vec::new();
    let mut descriptors: Vec<(&str, RawFd, &aya_obj::Map)> = Vec::new();
    for (name, map) in &maps {
        let fd = if let Some(table) = find(name) {
            table.as_raw_fd()
        } else {
            let fd = data_map(name, map)?;
            let raw = fd.as_raw_fd();
            data.push(fd);
            raw
        };
        descriptors.push((name, fd, map));
    }
    let text = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    object
        .relocate_maps(descriptors.into_iter(), &text)
        .map_err(failed("link maps"))?;
    object
        .relocate_calls(&text)
        .map_err(failed("link functions"))?;
    Ok(data)
}

/// Adds the type of answers: static, so that the verifier walks each where it is called, with what it is given there.
fn answer_type(types: &mut Btf) -> u32 {
    let prototype = types.add_type(BtfType::FuncProto(FuncProto::new(Vec::new(), 0)));
    let name = types.add_string("answer");
    types.add_type(BtfType::Func(Func::new(
        name,
        prototype,
        FuncLinkage::Static,
    )))
}

fn instructions(function: &Function) -> Vec<u64> {
    let one = |one: &aya_obj::generated::bpf_insn| {
        u64::from(one.code)
            | u64::from(one.dst_reg()) << 8
            | u64::from(one.src_reg()) << 12
            | u64::from(one.off as u16) << 16
            | u64::from(one.imm as u32) << 32
    };
    function.instructions.iter().map(one).collect()
}

/// Lets each call to a helper that is scripted go to its function at the end of the program; gives their starts, too.
fn substitute(mut program: Vec<u64>, maps: answers::Maps<'_>) -> (Vec<u64>, Vec<u32>) {
    const CALL: u64 = 0x85;
    const TO_FUNCTION: u64 = 0x1085;
    let mut starts: BTreeMap<i32, usize> = BTreeMap::new();
    for index in 0..program.len() {
        let Some(call) = program
            .get(index)
            .copied()
            .filter(|one| one & 0xffff == CALL)
        else {
            continue;
        };
        // The second half of a double instruction has the code 0, so this is a call.
        let helper = (call >> 32) as i32;
        let start = if let Some(start) = starts.get(&helper) {
            *start
        } else if let Some(answer) = answers::of(helper, maps) {
            let start = program.len();
            program.extend(answer);
            starts.insert(helper, start);
            start
        } else {
            continue;
        };
        if let Some(one) = program.get_mut(index) {
            *one = TO_FUNCTION | ((start - index - 1) as u64) << 32;
        }
    }
    let mut starts: Vec<u32> = starts.into_values().map(|start| start as u32).collect();
    starts.sort_unstable();
    (program, starts)
}

/// The map of a section of data.
fn data_map(name: &str, map: &aya_obj::Map) -> Result<OwnedFd> {
    let constant = map.section_kind() == EbpfSectionKind::Rodata;
    let flags = if constant { CONSTANT } else { 0 };
    let sizes = [4, map.value_size(), 1, flags];
    let fd = table(name, MapKind::Array as u32, sizes)?.fd;
    if map.section_kind() != EbpfSectionKind::Bss {
        sys::update(fd.as_fd(), &[0; 4], map.data(), sys::ANY).map_err(failed("write data"))?;
    }
    if constant {
        sys::map_freeze(fd.as_fd()).map_err(failed("freeze data"))?;
    }
    Ok(fd)
}
