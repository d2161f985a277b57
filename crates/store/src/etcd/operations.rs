//! Parts of requests: ranges of keys, what is done, and on which conditions.

use bytes::Bytes;

use super::proto::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, compare, request_op,
};

/// The first key behind all that begin with a prefix.
pub(super) fn end_of(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    // Up to the last key of all.
    vec![0].into()
}

/// The first key that comes after another.
pub(super) fn after(key: &str) -> String {
    format!("{key}\0")
}

pub(super) fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease,
    }
}

pub(super) fn put_op(key: &str, value: &str, lease: i64) -> RequestOp {
    RequestOp {
        request: Some(request_op::Request::RequestPut(put(key, value, lease))),
    }
}

pub(super) fn get_op(key: &str) -> RequestOp {
    let get = RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..RangeRequest::default()
    };
    RequestOp {
        request: Some(request_op::Request::RequestRange(get)),
    }
}

pub(super) fn delete_op(key: &str) -> RequestOp {
    let delete = DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::new(),
    };
    RequestOp {
        request: Some(request_op::Request::RequestDeleteRange(delete)),
    }
}

fn comparison(
    key: &str,
    target: compare::CompareTarget,
    result: compare::CompareResult,
    with: compare::TargetUnion,
) -> Compare {
    Compare {
        result: result.into(),
        target: target.into(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        target_union: Some(with),
    }
}

/// The key is not there.
pub(super) fn is_absent(key: &str) -> Compare {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let never = TargetUnion::CreateRevision(0);
    comparison(key, CompareTarget::Create, CompareResult::Equal, never)
}

/// The key is there.
pub(super) fn is_there(key: &str) -> Compare {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let never = TargetUnion::CreateRevision(0);
    comparison(key, CompareTarget::Create, CompareResult::NotEqual, never)
}

/// The key was last written at this revision.
pub(super) fn is_unchanged(key: &str, revision: i64) -> Compare {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let then = TargetUnion::ModRevision(revision);
    comparison(key, CompareTarget::Mod, CompareResult::Equal, then)
}

/// The key holds this.
pub(super) fn holds(key: &str, value: &str) -> Compare {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let value = TargetUnion::Value(Bytes::copy_from_slice(value.as_bytes()));
    comparison(key, CompareTarget::Value, CompareResult::Equal, value)
}

/// The key has this lease.
pub(super) fn has_lease(key: &str, lease: i64) -> Compare {
    use compare::{CompareResult, CompareTarget, TargetUnion};
    let lease = TargetUnion::Lease(lease);
    comparison(key, CompareTarget::Lease, CompareResult::Equal, lease)
}

#[cfg(test)]
mod tests;
