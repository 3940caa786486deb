//! Objects that an object wants to be there: a policy's machines.

use breakwater_api::Reason;
use breakwater_plan::{
    graph::{Desired, Goal, Node, Target},
    kind::Kind,
    planner::{Plan, Step},
};
use jiff::SignedDuration;

use crate::{
    ports::{ClusterError, ObjectKey},
    publish::Pause,
    turn::{Met, Turn},
};

/// Between two tries to make what the API server refuses.
const REFUSED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Children made in one turn at most.
const MOST_CHILDREN: usize = 50;

/// Makes the children that are due.
pub(crate) async fn create<K: Kind>(turn: &mut Turn<'_, K>, desired: &Desired, plan: &Plan) -> bool {
    let (mut made, mut lags) = (0, false);
    for (key, step) in plan.steps() {
        let (Step::Create, Some(Node { goal: Goal::Child { object, .. }, target: Target::Kube { kind, name }, .. })) =
            (step, desired.nodes.get(key))
        else {
            continue;
        };
        if made == MOST_CHILDREN || turn.pause != Pause::None {
            if lags {
                turn.come_back(Some(turn.engine.now() + turn.engine.backoff(1)));
            }
            return !lags;
        }
        if !turn.engine.outside.leadership.leads() {
            return false;
        }
        let at = ObjectKey { kind: (*kind).to_owned(), namespace: turn.key.namespace.clone(), name: name.clone() };
        turn.engine.outside.telemetry.kube_write(kind, "create");
        let outside = &turn.engine.outside;
        match outside.cluster.create(&at, object, &outside.leads()).await {
            Ok(_) => made += 1,
            // The watch does not show it yet: what is behind it has its turn all the same, and the next turn waits for the watch.
            Err(ClusterError::Exists) => lags = true,
            Err(e) => {
                // What is refused for one, by a quota or in a namespace that terminates, is refused for a thousand, and for a while.
                let wait = if let ClusterError::Refused(_) = e { REFUSED_FOR } else { turn.engine.backoff(3) };
                let until = Some(turn.engine.now() + wait);
                turn.met = Some(Met::new(Reason::Retrying, format!("{kind} {name} was not created: {e}"), until));
                return false;
            }
        }
    }
    false
}
