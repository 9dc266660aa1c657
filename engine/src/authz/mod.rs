//! Who may do what: the target of a request, the decision, its explanation.

pub(crate) mod decide;
pub(crate) mod explain;
pub(crate) mod readable;
pub(crate) mod target;
pub(crate) mod workload;
