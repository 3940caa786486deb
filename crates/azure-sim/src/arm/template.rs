//! Template expressions as far as clients of the modelled types send them: `az vm create` and small hand-written templates.
//! A function that is not here is not guessed: the whole deployment is answered 501.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// The simulator does not know this part of the language: 501.
    NotModelled(String),
    /// The template is wrong: 400 `InvalidTemplate`.
    Invalid(String),
}

/// What expressions may look at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The subscription's id.
    pub subscription: String,
    /// The resource group's name.
    pub group: String,
    /// The group's region.
    pub location: String,
    /// Values of parameters.
    pub parameters: BTreeMap<String, Value>,
    /// Values of variables, evaluated before.
    pub variables: BTreeMap<String, Value>,
}

impl Scope {
    /// The value with every expression in it evaluated.
    ///
    /// # Errors
    /// An expression that cannot be read, or that uses what is not modelled.
    pub fn evaluate(&self, value: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().map(|item| self.evaluate(item)).collect::<Result<Vec<_>, _>>().map(Value::Array),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| Ok((name.clone(), self.evaluate(value)?)));
                fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
            other => Ok(other.clone()),
        }
    }

    /// `[…]` is an expression, `[[…` a text that begins with a bracket.
    fn text(&self, text: &str) -> Result<Value, TemplateError> {
        if let Some(escaped) = text.strip_prefix("[[") {
            return Ok(json!(format!("[{escaped}")));
        }
        let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return Ok(json!(text)) };
        let mut reader = Reader { scope: self, rest: inner };
        let value = reader.value()?;
        if reader.rest.trim().is_empty() { Ok(value) } else { Err(reader.unreadable()) }
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, TemplateError> {
        let text = |at: usize| args.get(at).and_then(Value::as_str).unwrap_or_default();
        let subscription = format!("/subscriptions/{}", self.subscription);
        match name.to_ascii_lowercase().as_str() {
            "parameters" => found(&self.parameters, "parameter", text(0)),
            "variables" => found(&self.variables, "variable", text(0)),
            "concat" if args.iter().all(Value::is_array) => {
                Ok(json!(args.iter().flat_map(|list| list.as_array().into_iter().flatten()).collect::<Vec<_>>()))
            }
            "concat" => Ok(json!(args.iter().map(spelled).collect::<String>())),
            "tolower" => Ok(json!(text(0).to_lowercase())),
            "toupper" => Ok(json!(text(0).to_uppercase())),
            "string" => Ok(json!(args.first().map(spelled).unwrap_or_default())),
            "subscription" => Ok(json!({"id": subscription, "subscriptionId": self.subscription})),
            "resourcegroup" => {
                let id = format!("{subscription}/resourceGroups/{}", self.group);
                Ok(json!({"id": id, "name": self.group, "location": self.location}))
            }
            "resourceid" => self.resource_id(args).map(Value::String),
            _ => Err(TemplateError::NotModelled(format!("the template function {name}()"))),
        }
    }

    /// `resourceId([subscription,] [group,] type, name, …)`: the type is the first argument with a slash.
    fn resource_id(&self, args: &[Value]) -> Result<String, TemplateError> {
        let words: Vec<&str> = args.iter().filter_map(Value::as_str).collect();
        let at = words.iter().position(|word| word.contains('/')).filter(|at| *at <= 2);
        let (subscription, group) = match at {
            Some(2) => (words[0], words[1]),
            Some(1) => (self.subscription.as_str(), words[0]),
            _ => (self.subscription.as_str(), self.group.as_str()),
        };
        let wrong = || TemplateError::Invalid(format!("Unable to evaluate template language function 'resourceId': {words:?}."));
        let (kind, names) = at.and_then(|at| Some((*words.get(at)?, words.get(at + 1..)?))).ok_or_else(wrong)?;
        resource_path(subscription, group, kind, names).ok_or_else(wrong)
    }
}

/// `Namespace/type/subtype` and a name for each type as an id.
pub fn resource_path(subscription: &str, group: &str, kind: &str, names: &[&str]) -> Option<String> {
    let (namespace, types) = kind.split_once('/')?;
    let types: Vec<&str> = types.split('/').collect();
    if types.len() != names.len() {
        return None;
    }
    let pairs: String = types.iter().zip(names).map(|(kind, name)| format!("/{kind}/{name}")).collect();
    Some(format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}{pairs}"))
}

fn found(values: &BTreeMap<String, Value>, what: &str, name: &str) -> Result<Value, TemplateError> {
    let value = values.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    value.ok_or_else(|| TemplateError::Invalid(format!("The template {what} '{name}' is not found.")))
}

fn spelled(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads one expression from the front of a text.
struct Reader<'a> {
    scope: &'a Scope,
    rest: &'a str,
}

impl Reader<'_> {
    fn unreadable(&self) -> TemplateError {
        TemplateError::Invalid(format!("Unable to parse language expression at '{}'.", self.rest))
    }

    fn take(&mut self, sign: char) -> bool {
        let taken = self.rest.trim_start().strip_prefix(sign);
        if let Some(rest) = taken {
            self.rest = rest;
        }
        taken.is_some()
    }

    fn word(&mut self) -> &str {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        word
    }

    fn value(&mut self) -> Result<Value, TemplateError> {
        if self.take('\'') {
            return self.literal();
        }
        let word = self.word().to_owned();
        if let Ok(number) = word.parse::<i64>() {
            return Ok(json!(number));
        }
        if word.is_empty() || !self.take('(') {
            return Err(self.unreadable());
        }
        let mut args = Vec::new();
        while !self.take(')') {
            args.push(self.value()?);
            if !self.take(',') && !self.rest.trim_start().starts_with(')') {
                return Err(self.unreadable());
            }
        }
        let mut value = self.scope.call(&word, &args)?;
        while self.take('.') {
            let field = self.word().to_owned();
            let found = value.as_object().and_then(|fields| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(&field)));
            let missing = || TemplateError::Invalid(format!("The language expression property '{field}' doesn't exist."));
            value = found.map(|(_, value)| value.clone()).ok_or_else(missing)?;
        }
        Ok(value)
    }

    /// The rest of a text in single quotes; two of them are one.
    fn literal(&mut self) -> Result<Value, TemplateError> {
        let mut text = String::new();
        loop {
            let Some(end) = self.rest.find('\'') else { return Err(self.unreadable()) };
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('\'') {
                Some(rest) => {
                    text.push('\'');
                    self.rest = rest;
                }
                None => return Ok(json!(text)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope {
            subscription: "s".to_owned(),
            group: "g".to_owned(),
            location: "westeurope".to_owned(),
            parameters: [("name".to_owned(), json!("web"))].into(),
            variables: [("sizes".to_owned(), json!({"small": "B1"}))].into(),
        }
    }

    #[test]
    fn expressions_are_evaluated_wherever_they_stand() {
        let evaluated = scope().evaluate(&json!({
            "a": ["[concat(parameters('Name'), '-', 'it''s')]", 1], "b": "[[not one]", "c": "[resourceGroup().location]",
            "d": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'vn', parameters('name'))]", "e": "[variables('sizes').small]",
            "f": "[resourceId('other', 'Microsoft.Compute/disks', 'd')]",
        }));
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/vn/subnets/web";
        let other = "/subscriptions/s/resourceGroups/other/providers/Microsoft.Compute/disks/d";
        assert_eq!(evaluated, Ok(json!({"a": ["web-it's", 1], "b": "[not one]", "c": "westeurope", "d": id, "e": "B1", "f": other})));
    }

    #[test]
    fn what_is_not_known_is_said_and_never_guessed() {
        let tried = |text: &str| scope().evaluate(&json!(text));
        assert_eq!(tried("[uniqueString('a')]"), Err(TemplateError::NotModelled("the template function uniqueString()".to_owned())));
        for wrong in [
            "[parameters('absent')]",
            "[concat('a'",
            "[concat('a' 'b')]",
            "[]",
            "[resourceId('Microsoft.Compute/disks')]",
            "[subscription().x]",
            "['a'",
        ] {
            assert!(matches!(tried(wrong), Err(TemplateError::Invalid(_))) || tried(wrong) == Ok(json!(wrong)), "{wrong}");
        }
        assert_eq!(tried("['a'"), Ok(json!("['a'")), "without its end it is a text");
    }
}
