//! Nothing is written on hearsay: just before a write its target was read by its own id (architecture.md, rule 1). That it is
//! not there is such an answer too; a list, an answer to a write and a poll are none.

use std::collections::BTreeMap;

use breakwater_arm::wire::Method;
use jiff::{SignedDuration, Timestamp};

use super::{Call, Verdict};

/// A read is good for so long, in seconds of the world, where its time does not pass faster than the wall's.
const GOOD_FOR: f64 = 60.0;

/// What this process has read.
#[derive(Clone, Default)]
pub struct Looked {
    /// When Azure last answered a GET of this id, lower-case.
    seen: BTreeMap<String, Timestamp>,
}

impl Looked {
    /// The process is gone, and what it has seen.
    pub fn forget_process(&mut self) {
        self.seen.clear();
    }

    /// One request to Azure. What was lent is closed by its record alone.
    ///
    /// # Errors
    /// The write whose target was not looked at.
    pub fn hear(&mut self, call: &Call, factor: f64) -> Verdict {
        let request = &call.request;
        if !call.is_write {
            let status = call.answer.as_ref().and_then(|answer| answer.as_ref().ok()).map(|answer| answer.status);
            if request.method == Method::Get && request.link.is_none() && matches!(status, Some(200 | 404)) {
                self.seen.insert(request.path.to_ascii_lowercase(), call.answered_at);
            }
            return Ok(());
        }
        if call.holder.as_ref().is_none_or(|holder| holder.is_debt) {
            return Ok(());
        }
        let Some(target) = target(&call.request.path, request.method) else { return Ok(()) };
        match self.seen.get(&target) {
            None => Err(format!("{} left, and {target} was never read", call.line())),
            Some(at) if *at + SignedDuration::from_secs_f64(GOOD_FOR * factor.max(1.0)) < call.at => {
                Err(format!("{} left, and {target} was last read at {at}", call.line()))
            }
            Some(_) => Ok(()),
        }
    }
}

/// What a write is judged by: the resource itself, that whose tags are merged, that which an action is done to. A region, of
/// which a restore in it is asked, is no resource.
fn target(path: &str, method: Method) -> Option<String> {
    let lower = path.to_ascii_lowercase();
    let of_tags = lower.strip_suffix("/providers/microsoft.resources/tags/default").map(str::to_owned);
    let of_action = || lower.rsplit_once('/').map(|(id, _)| id.to_owned()).filter(|_| method == Method::Post);
    let target = of_tags.or_else(of_action).unwrap_or_else(|| lower.clone());
    // A vault's only fabric is no resource either.
    let target = target.strip_suffix("/backupfabrics/azure").map_or(target.clone(), str::to_owned);
    (!target.contains("/locations/")).then_some(target)
}

#[cfg(test)]
mod tests {
    use breakwater_arm::wire::{Answer, Request};

    use super::*;
    use crate::sim::invariants::call::Holder;

    fn read(path: &str, status: u16) -> Call {
        let call = Call::planted(Request::new(Method::Get, path, "1"), false);
        Call { answer: Some(Ok(Answer { status, ..Answer::default() })), ..call }
    }

    fn write(method: Method, path: &str, seconds: i64) -> Call {
        let call = Call::planted(Request::new(method, path, "1"), true);
        Call { at: call.at + SignedDuration::from_secs(seconds), holder: Some(Holder::planted("shop")), ..call }
    }

    fn said(reads: &[Call], write: &Call, factor: f64) -> String {
        let mut looked = Looked::default();
        reads.iter().for_each(|read| looked.hear(read, factor).expect("a read is no write"));
        looked.hear(write, factor).err().unwrap_or_default()
    }

    #[test]
    fn a_write_whose_target_was_not_read_just_before_is_told() {
        let put = |seconds| write(Method::Put, "/V/P", seconds);
        assert_eq!(said(&[read("/v/p", 200)], &put(60), 1.0), "");
        assert_eq!(said(&[read("/v/p", 404)], &put(1), 1.0), "", "what is not there was looked for");
        assert!(said(&[], &put(1), 1.0).contains("was never read"));
        assert!(said(&[read("/v/q", 200)], &put(1), 1.0).contains("was never read"), "another id");
        assert!(said(&[read("/v/p", 503)], &put(1), 1.0).contains("was never read"), "no answer of it");
        assert!(said(&[read("/v/p", 200)], &put(61), 1.0).contains("was last read at"));
        assert_eq!(said(&[read("/v/p", 200)], &put(3600), 60.0), "", "seconds of the wall");
        let debt = Call { holder: Some(Holder { is_debt: true, ..Holder::planted("shop") }), ..put(1) };
        assert_eq!(said(&[], &debt, 1.0), "");
    }

    #[test]
    fn what_is_read_is_what_an_action_or_a_merge_of_tags_is_done_to() {
        assert_eq!(said(&[read("/v/i", 200)], &write(Method::Post, "/v/i/backup", 1), 1.0), "");
        let tags = write(Method::Patch, "/v/providers/Microsoft.Resources/tags/default", 1);
        assert_eq!(said(&[read("/v", 200)], &tags, 1.0), "");
        assert!(!said(&[read("/v/i", 200)], &tags, 1.0).is_empty());
    }
}
