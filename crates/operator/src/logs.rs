//! Structured logs to standard error. The engine opens one span a turn; no secret enters a log, since none enters a field.

use breakwater_arm::redacted;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::args::LogFormat;

/// Libraries that tell each of their steps below `warn`. kube tells every failed call a second time: the port logs it once.
const QUIET: [&str; 9] = ["hyper", "hyper_util", "reqwest", "rustls", "h2", "tower", "kube_client", "kube_runtime", "azure_core"];

/// What is logged of a panic's text at most: it may quote what a service said.
pub const MAX_PANIC: usize = 2_000;

/// The directives given, with libraries held at `warn` unless they are named.
///
/// # Errors
/// When a directive does not parse.
pub fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let mut all: Vec<String> = QUIET.iter().filter(|target| !names(directives, target)).map(|target| format!("{target}=warn")).collect();
    // It logs the whole of an answer that it cannot read, and an answer may hold a Secret.
    if !names(directives, "kube_client") {
        all.push("kube_client::client=error".to_owned());
    }
    all.push(directives.to_owned());
    EnvFilter::try_new(all.join(","))
}

fn names(directives: &str, target: &str) -> bool {
    directives
        .split(',')
        .any(|one| one.trim().strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', ':', '['])))
}

/// Starts logging for the whole process.
///
/// # Errors
/// When logging was started before.
pub fn start(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    tracing_subscriber::registry().with(layer(format, std::io::stderr).with_filter(filter)).try_init()
}

/// Lets panics be logged like everything else, instead of as bare lines between JSON.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let said = redacted(panic.payload_as_str().unwrap_or("(no text)"), MAX_PANIC);
        tracing::error!(at, panic = said, "a panic: this is a bug");
    }));
}

/// JSON carries the fields of the turn's span beside those of the event; text is for eyes.
fn layer<W>(format: LogFormat, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).with_writer(writer).boxed()
        }
        LogFormat::Text => fmt::layer().compact().with_ansi(false).with_writer(writer).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, directives: &str, act: impl FnOnce()) -> String {
        let page = Page::default();
        let for_layer = page.clone();
        let subscriber =
            tracing_subscriber::registry().with(layer(format, move || for_layer.clone()).with_filter(filter(directives).unwrap()));
        tracing::subscriber::with_default(subscriber, act);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_carry_the_fields_of_event_and_turn() {
        let text = logged(LogFormat::Json, "info", || {
            let _turn = tracing::info_span!("turn", kind = "RecoveryVault", object = "shop/main").entered();
            tracing::info!(op = "put", "sent");
        });
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((line["message"].as_str(), line["op"].as_str()), (Some("sent"), Some("put")));
        assert_eq!((line["span"]["name"].as_str(), line["span"]["object"].as_str()), (Some("turn"), Some("shop/main")));
    }

    #[test]
    fn libraries_are_quiet_until_named() {
        let speak = || {
            tracing::info!(target: "hyper_util::client", "a connection");
            tracing::warn!(target: "hyper_util::client", "trouble");
            tracing::info!(target: "breakwater_engine", "a turn");
        };
        let text = logged(LogFormat::Text, "info", speak);
        assert!(!text.contains("a connection") && text.contains("trouble") && text.contains("a turn"), "{text}");
        let text = logged(LogFormat::Text, "info,hyper_util=info", speak);
        assert!(text.contains("a connection"), "{text}");
    }

    #[test]
    fn a_target_is_named_only_by_its_whole_first_word() {
        assert!(names("info,hyper=debug", "hyper"));
        assert!(names("hyper::client=debug", "hyper"));
        assert!(!names("hyper_util=debug", "hyper"));
        assert!(!names("info", "hyper"));
    }
}
