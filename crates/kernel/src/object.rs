//! The one object: loaded once per start, onto the maps that are pinned or onto new ones.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use aya::programs::{CgroupSockAddr, Program, ProgramError, SchedClassifier, SockOps};
use aya::{EbpfError, EbpfLoader, Pod};
use datapath::abi::node::Features;

use crate::attach::AttachError;
use crate::config::{Config, ConfigError};
use crate::layout::{self, MapKind};
use crate::maps::Maps;
use crate::pin::{PinDirectory, PinError};
use crate::{resize, sys};

/// The object, as the build made it. Four bytes of alignment are what the parser asks for.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("AXONEME_DATAPATH_OBJECT"));

/// Programs on interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// Ingress of a pod's host interface.
    FromContainer,
    /// Egress of a pod's host interface.
    ToContainer,
    /// Ingress of the uplink.
    FromNetdev,
    /// Egress of the uplink.
    ToNetdev,
    /// Ingress of the overlay's interface.
    FromOverlay,
    /// Egress of the node's own interface towards pods.
    FromHost,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 6] = [
        Self::FromContainer,
        Self::ToContainer,
        Self::FromNetdev,
        Self::ToNetdev,
        Self::FromOverlay,
        Self::FromHost,
    ];

    /// Name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::FromContainer => "from_container",
            Self::ToContainer => "to_container",
            Self::FromNetdev => "from_netdev",
            Self::ToNetdev => "to_netdev",
            Self::FromOverlay => "from_overlay",
            Self::FromHost => "from_host",
        }
    }

    /// Which packets of its interface it sees.
    pub const fn direction(self) -> netlink::filter::Direction {
        match self {
            Self::FromContainer | Self::FromNetdev | Self::FromOverlay => {
                netlink::filter::Direction::Ingress
            }
            Self::ToContainer | Self::ToNetdev | Self::FromHost => {
                netlink::filter::Direction::Egress
            }
        }
    }
}

/// Why the object could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A size is not possible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Pins of another shape, or no bpffs.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The kernel refused a map, or the object is broken.
    #[error("cannot load the eBPF object: {0}")]
    Object(#[from] EbpfError),
    /// The verifier refused a program.
    #[error("cannot load program '{program}': {source}")]
    Program {
        /// Name of the program.
        program: String,
        /// Verdict of the verifier.
        #[source]
        source: Box<ProgramError>,
    },
    /// Programs that run could not be replaced by those over tables of another size.
    #[error("cannot replace the programs that run: {0}")]
    Replace(#[source] Box<AttachError>),
    /// The object lacks a program that this release needs.
    #[error("the eBPF object has no program '{0}'")]
    Absent(&'static str),
    /// The kernel does not tell about a program.
    #[error("cannot inspect program '{program}': {source}")]
    Inspect {
        /// Name of the program.
        program: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// [`Features`] with the marker that the loader wants.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct FeaturesPod(Features);

// SAFETY: `Features` is `repr(C)`, `Copy`, without padding (`Plain`), and so is its transparent wrapper.
unsafe impl Pod for FeaturesPod {}

/// What the verifier said of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Name of the program.
    pub name: String,
    /// Instructions that the verifier walked.
    pub verified_instructions: u32,
    /// Instructions of the program.
    pub instructions: u32,
    /// Bytes of machine code.
    pub jited_bytes: u32,
    /// Deepest stack frame of any of its functions, bytes.
    pub stack_bytes: u32,
}

/// The loaded programs.
#[derive(Debug)]
pub struct Programs {
    programs: BTreeMap<String, OwnedFd>,
}

impl Programs {
    /// Descriptor of a program by its name.
    pub fn get(&self, name: &'static str) -> Result<BorrowedFd<'_>, LoadError> {
        let fd = self.programs.get(name).ok_or(LoadError::Absent(name))?;
        Ok(fd.as_fd())
    }

    /// Descriptor of the program of that name, if there is one.
    pub(crate) fn named(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.programs.get(name).map(OwnedFd::as_fd)
    }

    /// Names of all programs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.programs.keys().map(String::as_str)
    }

    /// Kernel id of a program.
    pub fn id(&self, name: &'static str) -> Result<u32, LoadError> {
        let info = sys::program_info(self.get(name)?).map_err(|source| LoadError::Inspect {
            program: name.to_owned(),
            source,
        })?;
        Ok(info.id)
    }

    /// What the verifier said of each program.
    pub fn statistics(&self) -> Result<Vec<ProgramStatistics>, LoadError> {
        let inspect = |name: &str, fd: &OwnedFd| -> io::Result<ProgramStatistics> {
            let info = sys::program_info(fd.as_fd())?;
            let instructions = sys::program_instructions(fd.as_fd())?;
            Ok(ProgramStatistics {
                name: name.to_owned(),
                verified_instructions: info.verified_instructions,
                instructions: info.xlated_length / 8,
                jited_bytes: info.jited_length,
                stack_bytes: deepest_frame(&instructions),
            })
        };
        self.programs
            .iter()
            .map(|(name, fd)| {
                inspect(name, fd).map_err(|source| LoadError::Inspect {
                    program: name.clone(),
                    source,
                })
            })
            .collect()
    }
}

/// The lowest offset from the frame pointer (register 10) that any instruction uses, as a size.
fn deepest_frame(instructions: &[[u8; 8]]) -> u32 {
    const FRAME: u8 = 10;
    let mut lowest = 0i32;
    let mut copy: Option<u8> = None;
    for [code, registers, low, high, immediate @ ..] in instructions {
        let (to, from) = (registers & 0xf, registers >> 4);
        let offset = i32::from(i16::from_le_bytes([*low, *high]));
        let class = code & 7;
        match class {
            // Loads read through the source register, stores write through the destination.
            1 if from == FRAME => lowest = lowest.min(offset),
            2 | 3 if to == FRAME => lowest = lowest.min(offset),
            // `rX += imm` right after `rX = r10` makes an address of the frame.
            7 if *code == 0x07 && copy == Some(to) => {
                lowest = lowest.min(i32::from_le_bytes(*immediate));
            }
            _ => (),
        }
        copy = (*code == 0xbf && from == FRAME).then_some(to);
    }
    lowest.unsigned_abs()
}

/// Everything that one start of an agent makes in the kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The loaded programs.
    pub programs: Programs,
    /// Handles to all maps.
    pub maps: Maps,
    /// Where they are pinned.
    pub pins: PinDirectory,
}

impl Kernel {
    /// Loads the object once, onto the maps that are pinned under `bpffs`. Those of another capacity than `config` asks for
    /// are replaced, with what they hold, and the programs of this network namespace with them. Where maps cannot be taken
    /// over nothing is touched and the error names the map.
    pub fn load(bpffs: &Path, config: &Config, features: Features) -> Result<Self, LoadError> {
        config.validate()?;
        let pins = PinDirectory::new(bpffs);
        let specs = layout::maps(config);
        let resized = resize::survey(&pins, &specs)?;
        pins.create()?;
        let features = FeaturesPod(features);
        let mut loader = EbpfLoader::new();
        loader.override_global("FEATURES", &features, true);
        for spec in &specs {
            let mut path = pins.map(spec);
            let unfinished = PinDirectory::unfinished(&path);
            PinDirectory::remove(&unfinished)?;
            if resized.iter().any(|map| map.spec.name == spec.name) {
                path = unfinished;
            }
            loader.map_pin_path(spec.name, path);
            if !matches!(spec.kind, MapKind::Array | MapKind::PerCpuArray) {
                loader.map_max_entries(spec.name, spec.max_entries);
            }
        }
        let mut object = loader.load(OBJECT)?;
        let programs = Programs {
            programs: load_programs(object.programs_mut())?,
        };
        resize::bring_into_force(&pins, &resized, &programs)?;
        for (name, fd) in &programs.programs {
            PinDirectory::replace(fd.as_fd(), &pins.program(name))?;
        }
        let maps = Maps::open(&pins, config)?;
        Ok(Self {
            programs,
            maps,
            pins,
        })
    }
}

/// Loads all programs at once: the verifier takes most of the time, and takes no lock over programs.
fn load_programs<'a>(
    programs: impl Iterator<Item = (&'a str, &'a mut Program)>,
) -> Result<BTreeMap<String, OwnedFd>, LoadError> {
    std::thread::scope(|scope| {
        let running: Vec<_> = programs
            .map(|(name, program)| (name, scope.spawn(|| load_program(program))))
            .collect();
        let finish = |(name, thread): (
            &str,
            std::thread::ScopedJoinHandle<'_, Result<OwnedFd, ProgramError>>,
        )| {
            let result = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result
                .map(|fd| (name.to_owned(), fd))
                .map_err(|source| LoadError::Program {
                    program: name.to_owned(),
                    source: Box::new(source),
                })
        };
        running.into_iter().map(finish).collect()
    })
}

fn load_program(program: &mut Program) -> Result<OwnedFd, ProgramError> {
    let fd = match program {
        Program::SchedClassifier(program) => {
            SchedClassifier::load(program)?;
            program.fd()?
        }
        Program::CgroupSockAddr(program) => {
            CgroupSockAddr::load(program)?;
            program.fd()?
        }
        Program::SockOps(program) => {
            SockOps::load(program)?;
            program.fd()?
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    };
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(ProgramError::IOError)
}

#[cfg(test)]
mod tests;
