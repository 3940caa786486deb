//! Questions to a person and their answers: what is at stake, what an answer is good for, and whether one was given.

use breakwater_api::questions::{APPROVE, AskedQuestion, UsedAnswer};
use breakwater_arm::ResourceId;
use jiff::Timestamp;
use serde_json::json;

use crate::keys;

/// What a request would change for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stake {
    /// The resources that it touches; the request's own first.
    pub ids: Vec<ResourceId>,
    /// The field, below `spec`.
    pub field: String,
    /// What is in force, in words.
    pub from: String,
    /// What would be, in words.
    pub to: String,
    /// Whether recovery points would expire earlier, or fewer be made.
    pub loses_points: bool,
}

/// A question that an object asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Names it within the object.
    pub id: String,
    /// The question in words.
    pub asks: String,
    /// What may be answered.
    pub answers: Vec<String>,
    /// What is at stake.
    pub stake: Stake,
    /// How many (points, calls) it is about at most, by the live count; rounded up in the digest.
    pub up_to: u64,
}

/// Who asks: an answer is good for one object at one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The object's uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// One usable answer: an Approval that is in force, not expired, and not used for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The Approval's uid.
    pub approval: String,
    /// Its name.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// Its digest.
    pub digest: String,
    /// What it says.
    pub answer: String,
    /// Who says it, held to the requesting user by the shipped admission policy.
    pub by: String,
    /// Until when it may be used.
    pub expires: Timestamp,
}

/// The answers that an object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Those that count.
    pub given: Vec<Given>,
    /// Why none counts, where answers exist and the rule of who may answer is not in force.
    pub not_in_force: Option<String>,
}

/// A question with the answer that lets its node go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// The question.
    pub question: Question,
    /// The answer.
    pub given: Given,
}

impl Question {
    /// A question that is answered with `approve`.
    pub fn to_approve(id: impl Into<String>, stake: Stake, up_to: u64, asks: impl Into<String>) -> Self {
        Question { id: id.into(), asks: asks.into(), answers: vec![APPROVE.into()], stake, up_to }
    }

    /// SHA-256 over canonical JSON (sorted keys, no spaces) of what the answer is good for.
    pub fn digest(&self, asker: &Asker) -> String {
        let ids: Vec<String> = self.stake.ids.iter().map(ResourceId::key).collect();
        let material = json!({
            "field": self.stake.field, "from": self.stake.from, "generation": asker.generation, "ids": ids, "question": self.id,
            "targetUid": asker.uid, "to": self.stake.to, "upTo": rounded_up(self.up_to),
        });
        keys::hash(&[&material.to_string()])
    }

    /// As status shows it.
    pub fn asked(&self, asker: &Asker) -> AskedQuestion {
        let asks = self.asks.chars().filter(|c| !c.is_control()).take(1000).collect();
        AskedQuestion { id: self.id.clone(), asks, answers: self.answers.clone(), digest: self.digest(asker), expires_at: None }
    }
}

/// Whether a question that can be answered so takes an answer. A word in angle brackets takes any GUID: jobs are named so.
pub fn takes(answers: &[String], answer: &str) -> bool {
    answers.iter().any(|a| a == answer || (a.starts_with('<') && uuid::Uuid::try_parse(answer).is_ok()))
}

impl Answers {
    /// The answer to a question, where one was given that it takes.
    pub fn to(&self, question: &Question, asker: &Asker) -> Option<&Given> {
        let digest = question.digest(asker);
        let takes = |answer: &str| takes(&question.answers, answer);
        self.given.iter().find(|g| g.question == question.id && g.digest == digest && takes(&g.answer))
    }
}

impl Approved {
    /// As status remembers it.
    pub fn used(&self, asker: &Asker, at: Timestamp) -> UsedAnswer {
        UsedAnswer {
            approval: self.given.approval.clone(),
            name: self.given.name.clone(),
            question: self.given.question.clone(),
            digest: self.given.digest.clone(),
            answer: self.given.answer.clone(),
            by: self.given.by.clone(),
            generation: asker.generation,
            at,
        }
    }
}

/// The next of 1, 2 or 5 times a power of ten, so that a question does not change daily; 0 stays.
pub fn rounded_up(count: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [1, 2, 5] {
            let Some(bound) = power.checked_mul(step) else { return u64::MAX };
            if count <= bound {
                return if count == 0 { 0 } else { bound };
            }
        }
        let Some(next) = power.checked_mul(10) else { return u64::MAX };
        power = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(to: &str, up_to: u64) -> Question {
        let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/RG".parse().unwrap();
        let stake = Stake { ids: vec![id], field: "retention.daily".into(), from: "30d".into(), to: to.into(), loses_points: true };
        Question::to_approve("points-expire", stake, up_to, "may they go?")
    }

    fn given(digest: &str, answer: &str) -> Given {
        let text = |t: &str| t.to_owned();
        let (approval, name, by) = (text("a"), text("yes"), text("ann"));
        Given { approval, name, question: text("points-expire"), digest: text(digest), answer: text(answer), by, expires: Timestamp::MAX }
    }

    #[test]
    fn counts_are_rounded_up_to_one_two_or_five() {
        for (count, bound) in [(0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 200), (501, 1000)] {
            assert_eq!(rounded_up(count), bound, "{count}");
        }
        assert_eq!(rounded_up(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_answer_is_good_for_one_question_of_one_generation() {
        let asker = Asker { uid: "u".into(), generation: 3 };
        let asked = question("7d", 40);
        let answers = |digest: &str, answer: &str| Answers { given: vec![given(digest, answer)], not_in_force: None };
        let right = answers(&asked.digest(&asker), "approve");
        assert!(right.to(&asked, &asker).is_some());
        assert!(right.to(&question("7d", 50), &asker).is_some(), "the count is rounded up");
        for other in [question("6d", 40), question("7d", 51)] {
            assert!(right.to(&other, &asker).is_none());
        }
        assert!(right.to(&asked, &Asker { generation: 4, ..asker.clone() }).is_none());
        assert!(right.to(&asked, &Asker { uid: "v".into(), ..asker.clone() }).is_none());
        assert!(answers(&asked.digest(&asker), "yes").to(&asked, &asker).is_none(), "a word that was not offered");
        assert!(right.to(&Question { id: "brake".into(), ..asked.clone() }, &asker).is_none());
        let mut upper = asked.clone();
        upper.stake.ids[0] = "/SUBSCRIPTIONS/11111111-1111-1111-1111-111111111111/resourcegroups/rg".parse().unwrap();
        assert_eq!(upper.digest(&asker), asked.digest(&asker), "ids are compared without case");
    }
}
