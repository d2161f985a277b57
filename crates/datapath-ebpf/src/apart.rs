//! Stages as global functions: the kernel verifies each once per program, not once for each way that leads to it.

use aya_ebpf::bindings::__sk_buff;
use datapath::{
    Maps,
    abi::connection::{Connection, Entry},
    apart::Apart,
    context::{Cx, FAILED, State},
};

use crate::{kernel::Kernel, skb::Skb, tables::Tables};

/// Makes the seams anew and runs the stage. The verifier knows nothing of a global function's pointers but their types, and
/// that they may be null; that each is looked at keeps the compiler from passing nothing where a stage does not need it.
#[inline(always)]
fn enter(
    stage: Apart,
    context: *mut __sk_buff,
    state: *mut State,
    entry: Option<Entry<'_>>,
) -> u32 {
    // SAFETY: the caller gives the state of this CPU's packet and does not use it until we return.
    let Some(state) = (unsafe { state.as_mut() }) else {
        return FAILED;
    };
    if context.is_null() {
        return FAILED;
    }
    let tables = Tables;
    let Some(node) = tables.node() else {
        return FAILED;
    };
    let mut packet = Skb::new(context);
    let environment = Kernel::new(context);
    let seams = (&tables, &environment);
    let mut cx = Cx::<(Skb, Tables, Kernel)>::resume(&mut packet, seams, node, state, entry);
    let result = stage.run(&mut cx);
    cx.code(result)
}

macro_rules! global {
    (alone { $($alone:ident => $without:ident),+ $(,)? } of_a_connection { $($bound:ident => $with:ident),+ $(,)? }) => {
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $without(context: *mut __sk_buff, state: *mut State) -> u32 {
                enter(Apart::$alone, context, state, None)
            }
        )+
        $(
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $with(
                context: *mut __sk_buff,
                state: *mut State,
                entry: *mut Connection,
            ) -> u32 {
                // SAFETY: null, or an entry that the caller found in its table during this run.
                enter(Apart::$bound, context, state, unsafe { Entry::from_ptr(entry) })
            }
        )+

        /// Calls the function of a stage.
        #[inline(always)]
        pub fn call(
            stage: Apart,
            context: *mut __sk_buff,
            state: &mut State,
            entry: Option<Entry<'_>>,
        ) -> u32 {
            match stage {
                $(Apart::$alone => $without(context, state),)+
                $(Apart::$bound => $with(context, state, Entry::into_ptr(entry)),)+
            }
        }
    };
}

global! {
    alone {
        Parse => stage_parse,
        Unreadable => stage_unreadable,
        OverlaySender => stage_overlay_sender,
        Arp => stage_arp,
        Neighbour => stage_neighbour,
        Fragment => stage_fragment,
        Quote => stage_quote,
        Service => stage_service,
        LocalSource => stage_local_source,
        RemoteSource => stage_remote_source,
        Destination => stage_destination,
        Admit => stage_admit,
        Masquerade => stage_masquerade,
        Alias => stage_alias,
        FindAlias => stage_find_alias,
        DropAlias => stage_drop_alias,
        Port => stage_port,
        Take => stage_take,
        Open => stage_open,
        Answer => stage_answer,
        Dropped => stage_dropped,
    }
    of_a_connection {
        Orient => stage_orient,
        Follow => stage_follow,
        Error => stage_error,
        Forget => stage_forget,
        JudgeAgain => stage_judge_again,
        Answered => stage_answered,
        Rewrite => stage_rewrite,
        Observe => stage_observe,
        WindowScale => stage_window_scale,
        Emit => stage_emit,
        Sample => stage_sample,
        Route => stage_route,
    }
}
