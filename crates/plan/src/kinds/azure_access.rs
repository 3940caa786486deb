//! `AzureAccess`: whether its identity gets a token and may look at each subscription that it grants.

use breakwater_api::{AzureAccess, AzureAccessSpec, AzureAccessStatus, Reason};
use breakwater_arm::ResourceId;
use jiff::SignedDuration;
use serde_json::Map;

use super::unreadable;
use crate::{
    facts::{Facts, Fresh, Need},
    graph::{Desired, Hold},
    kind::{AccessNeed, Decided, Kind, Promise, Report, Subject},
    sighting::Known,
};

/// Between two looks at a subscription.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(30);

impl Kind for AzureAccess {
    const NAME: &'static str = "AzureAccess";
    const ACCESS: AccessNeed = AccessNeed::Own;
    type Spec = AzureAccessSpec;
    type Status = AzureAccessStatus;

    fn needs(s: &Subject<Self>, _: &Facts) -> Vec<Need> {
        subscriptions(s).into_iter().map(|id| Need::Read { id, fresh: Fresh::Within(LOOK_EVERY) }).collect()
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        for id in subscriptions(s) {
            match facts.read(&id) {
                _ if facts.trouble(&id).is_some() => return Err(unreadable(&id, facts)),
                Known::Unknown => return Err(unreadable(&id, facts)),
                Known::Absent(_) => {
                    let message =
                        format!("{id} does not exist, or this identity has no role in it: assign one, or take it out of spec.allow");
                    return Err(Hold::stuck(Reason::SubscriptionNotReady, message));
                }
                Known::Present(..) => {}
            }
        }
        Ok(Desired::new())
    }

    fn report(s: &Subject<Self>, _: &Facts, decided: Decided<'_>) -> Report {
        let promise = match decided {
            Ok(_) => Promise::kept(Reason::AsDeclared, format!("subscriptions readable as this identity: {}", subscriptions(s).len())),
            Err(hold) => Promise::broken(hold.reason, hold.message.clone()),
        };
        Report { status: Map::new(), promise, conditions: Vec::new(), owned: Vec::new(), next: Some(s.now + LOOK_EVERY), remove_at: None }
    }
}

fn subscriptions(s: &Subject<AzureAccess>) -> Vec<ResourceId> {
    let mut all: Vec<ResourceId> =
        s.spec.allow.iter().filter_map(|g| format!("/subscriptions/{}", g.subscription_id).parse().ok()).collect();
    all.sort();
    all.dedup();
    all
}
