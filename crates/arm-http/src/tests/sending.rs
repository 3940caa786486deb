//! What leaves, what comes back, and what is said when nothing does.

use breakwater_arm::wire::{Method, Request};
use breakwater_engine::ports::{Arm, SendError};
use serde_json::json;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};
use uuid::Uuid;

use super::router::{Script, TOKEN_CANARY, client_to, with_secret};
use crate::{CloudEndpoints, EndpointError};

const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

#[tokio::test]
async fn a_request_arrives_with_its_segments_encoded_and_its_ids_in_the_headers() {
    let azure = Script::of(&[(202, "application/json", "")]);
    let client = client_to(&azure.serve().await);
    let mut request = Request::new(Method::Post, format!("{SUB}/x/VM;a b=/backup"), "2024-04-01")
        .with_query("$filter", "a eq 'b c'")
        .with_body(json!({"properties": {}}));
    let id = Uuid::from_u128(7);
    request.client_request_id = Some(id);
    let answer = client.call(&with_secret(), &request).await.unwrap();
    assert_eq!((answer.status, answer.body), (202, serde_json::Value::Null));
    let seen = azure.nth(0);
    assert_eq!(seen.line, format!("POST {SUB}/x/VM%3Ba%20b%3D/backup?api-version=2024-04-01&%24filter=a%20eq%20%27b%20c%27"));
    assert_eq!(seen.header("x-ms-client-request-id"), Some(id.to_string().as_str()));
    assert_eq!(seen.header("x-ms-correlation-request-id"), Some(id.to_string().as_str()));
    assert_eq!(seen.header("x-ms-return-client-request-id"), Some("true"));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {TOKEN_CANARY}").as_str()));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.body, r#"{"properties":{}}"#);
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let azure = Script::of(&[(204, "application/json", "")]);
    let client = client_to(&azure.serve().await);
    client.call(&with_secret(), &Request::new(Method::Post, format!("{SUB}/x"), "1")).await.unwrap();
    let lengths = azure.nth(0).headers.iter().filter(|(n, _)| n == "content-length").map(|(_, v)| v.clone()).collect::<Vec<_>>();
    assert_eq!(lengths, ["0"]);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_is_not_repeated() {
    for status in [401, 404, 408, 429, 500, 503, 504] {
        let azure = Script::of(&[(status, "application/json", r#"{"error":{"code":"X"}}"#)]);
        let client = client_to(&azure.serve().await);
        let answer = client.call(&with_secret(), &Request::new(Method::Put, format!("{SUB}/x"), "1")).await.unwrap();
        assert_eq!((answer.status, azure.count()), (status, 1));
        assert_eq!(answer.retry_after().map(|d| d.as_secs()), (status == 429).then_some(3600));
        assert_eq!(answer.body["error"]["code"], "X");
    }
}

#[tokio::test]
async fn a_link_is_followed_byte_for_byte_on_its_own_origin_only() {
    let azure = Script::of(&[(200, "application/json", "{}")]);
    let base = azure.serve().await;
    let client = client_to(&base);
    let link = format!("{base}/next%3Bpage?h=&s=a+b%2F&%24skipToken=x");
    client.call(&with_secret(), &Request::follow(link.clone())).await.unwrap();
    assert_eq!(format!("{base}{}", azure.nth(0).line.strip_prefix("GET ").unwrap()), link);
    for foreign in ["https://evil.example/x", "http://127.0.0.1:1/x", "//evil.example/x", &base.replace("http://", "http://user@")] {
        let error = client.call(&with_secret(), &Request::follow(foreign)).await.unwrap_err();
        assert!(matches!(error, SendError::BadLink(_)), "{foreign}: {error}");
    }
    let mut post = Request::follow(link);
    post.method = Method::Post;
    assert!(matches!(client.call(&with_secret(), &post).await, Err(SendError::BadLink(_))));
    assert_eq!(azure.count(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let azure = Script::of(&[(307, "text/html", "moved")]);
    let client = client_to(&azure.serve().await);
    let answer = client.call(&with_secret(), &Request::new(Method::Get, SUB, "1")).await.unwrap();
    assert_eq!((answer.status, azure.count()), (307, 1));
}

#[tokio::test]
async fn a_path_that_would_climb_is_not_sent() {
    let azure = Script::of(&[(200, "application/json", "{}")]);
    let client = client_to(&azure.serve().await);
    for path in [format!("{SUB}/a/../b"), format!("{SUB}//b"), "relative".into()] {
        let error = client.call(&with_secret(), &Request::new(Method::Delete, path, "1")).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent(_)), "{error}");
    }
    assert_eq!(azure.count(), 0);
}

#[tokio::test]
async fn html_is_kept_raw_and_damaged_json_is_an_unknown_outcome() {
    let azure = Script::of(&[(404, "text/html", "<html>no</html>"), (200, "application/json; charset=utf-8", r#"{"a":"#)]);
    let client = client_to(&azure.serve().await);
    let request = Request::new(Method::Get, SUB, "1");
    assert_eq!(client.call(&with_secret(), &request).await.unwrap().body, json!({"raw": "<html>no</html>"}));
    assert!(matches!(client.call(&with_secret(), &request).await, Err(SendError::Unknown(_))));
}

#[tokio::test]
async fn an_answer_of_more_than_8_mb_is_an_unknown_outcome() {
    let big = format!("\"{}\"", "x".repeat(crate::answers::MAX_BODY));
    let azure = Script::of(&[(200, "application/json", &big)]);
    let client = client_to(&azure.serve().await);
    let error = client.call(&with_secret(), &Request::new(Method::Get, SUB, "1")).await.unwrap_err();
    assert!(matches!(&error, SendError::Unknown(text) if text.contains("8 MB")), "{error}");
}

/// Accepts one connection, reads a request, writes these bytes and hangs up (or waits).
async fn raw_server(bytes: &'static [u8], hang_up: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        let _ = socket.read(&mut buffer).await;
        socket.write_all(bytes).await.unwrap();
        if !hang_up {
            std::future::pending::<()>().await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_cut_answer_is_an_unknown_outcome() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 202 Acc",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a\":1}",
        b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n",
    ] {
        let client = client_to(&raw_server(bytes, true).await);
        let error = client.call(&with_secret(), &Request::new(Method::Post, SUB, "1")).await.unwrap_err();
        assert!(matches!(error, SendError::Unknown(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
}

#[tokio::test]
async fn a_connection_refused_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client_to(&format!("http://{address}"));
    let error = client.call(&with_secret(), &Request::new(Method::Post, SUB, "1")).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("CANARY"));
}

#[tokio::test]
async fn silence_becomes_an_unknown_outcome_after_a_minute() {
    let client = client_to(&raw_server(b"", false).await);
    let identity = with_secret();
    let request = Request::new(Method::Post, SUB, "1");
    let call = client.call(&identity, &request);
    tokio::pin!(call);
    // let it connect and write in real time, then turn the clock
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), &mut call).await.is_err());
    tokio::time::pause();
    let error = call.await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error}");
}

#[test]
fn tokens_never_travel_in_the_clear() {
    let scope = "https://x/.default";
    assert!(CloudEndpoints::custom("http://127.0.0.1:8080", scope, "https://login").is_ok());
    assert!(CloudEndpoints::custom("http://[::1]:8080", scope, "https://login").is_ok());
    assert!(matches!(CloudEndpoints::custom("http://10.0.0.1", scope, "https://login"), Err(EndpointError::ArmInTheClear(_))));
    assert!(matches!(
        CloudEndpoints::custom("http://localhost.evil.example", scope, "https://login"),
        Err(EndpointError::ArmInTheClear(_))
    ));
    assert!(matches!(CloudEndpoints::custom("https://arm", scope, "http://127.0.0.1"), Err(EndpointError::AuthorityInTheClear(_))));
}
