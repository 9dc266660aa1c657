//! `petsem approve`: the second person's decision.

use clap::Args;
use petsem_api::{Approval, ApprovalId, ApprovalList, Approve as Wanted};

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::output::Table;
use crate::remote::Remote;
use crate::{messages, output};

/// Approve or deny a request of another person: break-glass, hosts, dischargers, issuers, guarded policies
///
/// Without an id, or with --list, it lists the requests that your token may decide.
#[derive(Args)]
pub(crate) struct Approve {
    /// The request
    #[arg(value_name = "ID")]
    id: Option<ApprovalId>,

    /// List the requests that your token may decide, or that you made
    #[arg(long, conflicts_with_all = ["id", "deny"])]
    list: bool,

    /// Show this request, with the rules, the registration or the hosts that would take effect
    #[arg(long, value_name = "ID", conflicts_with_all = ["id", "list", "deny"])]
    show: Option<ApprovalId>,

    /// Deny this request; after an approval, reading ends, and no more tokens of hosts are minted
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    deny: Option<ApprovalId>,

    /// The digest of the keys that the request registers, as their owner told it to you
    #[arg(long, value_name = "DIGEST", requires = "id")]
    key_digest: Option<String>,

    #[command(flatten)]
    common: ServerArguments,
}

impl Approve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let remote = self.common.remote()?;
        if let Some(id) = self.show {
            let answer: Approval = remote.get(&format!("/v1/approvals/{id}"))?;
            return output::confirm(self.common.json, &answer, &messages::approval_details(&answer));
        }
        let answer: Approval = match (self.id, self.deny) {
            (Some(id), _) => {
                let wanted = Wanted { key_digest: self.key_digest };
                remote.post(&format!("/v1/approvals/{id}/approve"), &wanted)?
            }
            (None, Some(id)) => remote.post(&format!("/v1/approvals/{id}/deny"), &serde_json::json!({}))?,
            (None, None) => return list(&remote, self.common.json),
        };
        output::confirm(self.common.json, &answer, &messages::approval_decided(&answer))
    }
}

fn list(remote: &Remote, json: bool) -> Result<(), Failure> {
    let answer: ApprovalList = remote.get("/v1/approvals")?;
    output::answer(json, &answer, |answer| {
        let mut table = Table::new(&["ID", "STATE", "WHAT", "REQUESTED BY", "REASON", "UNTIL"]);
        for approval in &answer.approvals {
            table.row([
                approval.id.to_string(),
                messages::state_of_request(approval).to_owned(),
                approval.summary.clone(),
                approval.requester.clone(),
                approval.reason.clone(),
                approval.ends_at.clone(),
            ]);
        }
        table
    })
}
