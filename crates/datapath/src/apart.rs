//! Stages that are functions of their own in the kernel, which verifies each of them once. See docs/decisions/0007.

use crate::{
    abi::Drop,
    context::{Cx, Seams, Step},
    stages::{
        answer, connection, fragment, icmp, identity, nat, overlay, parse, record, reject, route,
        sample, service, tcp, uplink,
    },
};

/// One of these stages. What it says beyond its [`Step`] lies in the state; a connection that it finds stays its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// [`parse::parse`]
    Parse,
    /// [`uplink::parse`] of what cannot be read.
    Unreadable,
    /// [`overlay::sender`]
    OverlaySender,
    /// [`answer::arp`]
    Arp,
    /// [`answer::neighbour`]
    Neighbour,
    /// [`fragment::fragment`]
    Fragment,
    /// What an ICMP error quotes.
    Quote,
    /// An ICMP error whose connection was found.
    Error,
    /// The alias that the packet may go by.
    FindAlias,
    /// An alias whose primary is gone.
    DropAlias,
    /// The way of a packet that was found by an alias.
    Orient,
    /// The packet of a connection that is known.
    Follow,
    /// A connection that begins anew.
    Forget,
    /// A stale decision.
    JudgeAgain,
    /// The first answer.
    Answered,
    /// Rewriting as the entry says.
    Rewrite,
    /// [`tcp::observe`]
    Observe,
    /// The window scale of a SYN.
    WindowScale,
    /// An event.
    Emit,
    /// A sample of payload.
    Sample,
    /// [`service::translate`]
    Service,
    /// [`identity::local_source`]
    LocalSource,
    /// [`identity::remote_source`]
    RemoteSource,
    /// [`identity::destination`]
    Destination,
    /// [`connection::admit`]
    Admit,
    /// [`nat::masquerade`]
    Masquerade,
    /// The alias that a new connection needs.
    Alias,
    /// A source port.
    Port,
    /// One source port, if it is free.
    Take,
    /// [`connection::open`]
    Open,
    /// [`route::route`]
    Route,
    /// The answer that the path ended with.
    Answer,
    /// Booking a drop.
    Dropped,
}

impl Apart {
    /// The stage itself.
    #[inline(always)]
    pub fn run<S: Seams>(self, cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
        match self {
            Self::Parse => parse::read(cx),
            Self::Unreadable => Ok(uplink::unreadable(cx)),
            Self::OverlaySender => overlay::identify(cx),
            Self::Arp => answer::answer_arp(cx),
            Self::Neighbour => answer::discovery(cx),
            Self::Fragment => Ok(fragment::ports(cx)),
            Self::Quote => icmp::quote(cx),
            Self::Error => icmp::send(cx),
            Self::FindAlias => Ok(connection::find_alias(cx)),
            Self::DropAlias => Ok(connection::drop_alias(cx)),
            Self::Orient => Ok(connection::orient_by_alias(cx)),
            Self::Follow => connection::follow(cx),
            Self::Forget => Ok(connection::forget(cx)),
            Self::JudgeAgain => connection::judge_again(cx),
            Self::Answered => connection::answered(cx),
            Self::Rewrite => nat::rewrite(cx),
            Self::Observe => tcp::note(cx),
            Self::WindowScale => Ok(tcp::window_scale(cx)),
            Self::Emit => Ok(record::emit(cx)),
            Self::Sample => Ok(sample::take(cx)),
            Self::Service => service::select(cx),
            Self::LocalSource => Ok(identity::resolve_local_source(cx)),
            Self::RemoteSource => Ok(identity::resolve_remote_source(cx)),
            Self::Destination => Ok(identity::resolve_destination(cx)),
            Self::Admit => connection::judge(cx),
            Self::Masquerade => nat::decide(cx),
            Self::Alias => Ok(nat::keep_alias(cx)),
            Self::Port => nat::allocate(cx),
            Self::Take => Ok(nat::take_port(cx)),
            Self::Open => connection::make(cx),
            Self::Route => route::look_up(cx),
            Self::Answer => reject::build(cx),
            Self::Dropped => record::dropped(cx),
        }
    }
}

/// Runs a stage as a function of its own. In the kernel only the state comes back from it, elsewhere the stage runs in place
/// and what it did to the rest is undone, so that both are the same.
#[inline(always)]
pub fn call<S: Seams>(cx: &mut Cx<'_, S>, stage: Apart) -> Result<Step, Drop> {
    if let Some(code) = cx.leave(stage) {
        return cx.outcome(code);
    }
    let entry = cx.entry;
    let result = stage.run(cx);
    cx.entry = entry;
    result
}
