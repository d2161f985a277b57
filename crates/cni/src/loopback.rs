//! The plugin called as `loopback`: brings `lo` of the pod up. Runtimes call it for each pod, before the pod's network.

use netlink::{AdminState, Handle, Link, link};

use crate::Outcome;
use crate::add::open_pod;
use crate::error::{Code, Error};
use crate::input::{Arguments, Command, Config};
use crate::result::{Address, Interface, Success};
use crate::version;

/// The name it is called by, and the plugin's `type`.
pub const NAME: &str = "loopback";
const INTERFACE: &str = "lo";

/// Carries out one call, as [`crate::run`] does.
pub fn run(variable: &dyn Fn(&str) -> Option<String>, stdin: &[u8]) -> Outcome {
    Outcome::of(call(variable, stdin), Config::version_of(stdin))
}

fn call(variable: &dyn Fn(&str) -> Option<String>, stdin: &[u8]) -> Result<String, Error> {
    let command = Command::parse(variable)?;
    if matches!(command, Command::Version) {
        return Ok(version::answer(Config::asked_version(stdin)?));
    }
    let config = Config::parse(stdin)?;
    command.check_version(config.version)?;
    match &command {
        Command::Add(arguments) => add(arguments, &config),
        Command::Del(arguments) => del(arguments).map(|()| String::new()),
        Command::Check(arguments) => check(arguments).map(|()| String::new()),
        Command::Status | Command::Gc | Command::Version => Ok(String::new()),
    }
}

fn add(arguments: &Arguments, config: &Config) -> Result<String, Error> {
    let handle = Handle::open_in(&open_pod(arguments.netns()?)?)?;
    let device = device(&handle)?;
    handle.run(&link::set_up(device.index))?;
    if let Some(previous) = &config.previous {
        return Ok(previous.print(config.version));
    }
    let addresses = handle.addresses(Some(device.index))?;
    let success = Success {
        interfaces: vec![Interface {
            name: INTERFACE.to_owned(),
            mac: device.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            mtu: None,
            sandbox: arguments.netns()?.display().to_string(),
        }],
        addresses: addresses
            .iter()
            .map(|of| Address {
                interface: Some(0),
                address: of.address,
                gateway: None,
            })
            .collect(),
        ..Success::default()
    };
    Ok(success.print(config.version))
}

/// A namespace that is gone, or was never named, has no `lo` to take down.
fn del(arguments: &Arguments) -> Result<(), Error> {
    let Some(netns) = arguments.netns.as_deref().filter(|path| path.exists()) else {
        return Ok(());
    };
    let Ok(pod) = open_pod(netns) else {
        return Ok(());
    };
    let handle = Handle::open_in(&pod)?;
    Ok(handle.run(&link::set_down(device(&handle)?.index))?)
}

fn check(arguments: &Arguments) -> Result<(), Error> {
    let handle = Handle::open_in(&open_pod(arguments.netns()?)?)?;
    if device(&handle)?.state() == AdminState::Down {
        return Err(Error::new(Code::CheckFailed, "interface lo is down"));
    }
    Ok(())
}

fn device(handle: &Handle) -> Result<Link, Error> {
    handle
        .find_link(INTERFACE)?
        .ok_or_else(|| Error::new(Code::KernelRefused, "the pod has no interface lo"))
}
