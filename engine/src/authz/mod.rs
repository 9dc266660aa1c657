//! Authorization: the target of a request, the decision, its explanation, and the right to read values as a type.

pub(crate) mod decide;
pub(crate) mod explain;
pub(crate) mod readable;
pub(crate) mod target;
pub(crate) mod workload;
