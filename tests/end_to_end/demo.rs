//! `ocis-sse demo`: its output and its page.

use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::{Stream, get, request},
    program::Program,
};

#[tokio::test]
async fn printed_commands_work() {
    let mut demo = Program::start(&["demo", "--addr", "127.0.0.1:0"], &[]);
    let mut introduction = String::new();
    while !introduction.contains("curl -N") {
        introduction += &demo.line().await;
    }
    let address =
        introduction.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let address = address.parse().expect("an address");
    let curl = introduction.lines().find(|line| line.contains("curl -N")).expect("a curl line");
    let token =
        curl.split("x-access-token: ").nth(1).and_then(|rest| rest.split('\'').next()).expect("a token");
    let mut stream = Stream::open(address, "/sse", &[("x-access-token", token)]).await;

    // Like the service without settings, it allows pages of all origins.
    let description = get(address, "/openapi.json", &[("origin", "https://a.example")]).await;
    assert_eq!(description.header("access-control-allow-origin"), Some("*"));

    let page = get(address, "/", &[]).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("http"), "{policy}");
    for (path, allowed) in [("/", "GET, HEAD"), ("/publish", "POST")] {
        let response = request(address, Method::DELETE, path, &[]).await;
        assert_eq!((response.status, response.header("allow")), (405, Some(allowed)), "{path}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(request(address, Method::HEAD, "/", &[]).await.status, 200);
    let users = page.body.split("<script type=\"application/json\" id=\"users\">").nth(1).expect("users");
    let users: Value = serde_json::from_str(users.split("</script>").next().expect("an end")).expect("JSON");
    assert_eq!(users.as_array().map(Vec::len), Some(3));
    assert_eq!(users[0]["token"], token);

    let event = json!({ "users": ["einstein"], "type": "item-renamed", "content": "{}" }).to_string();
    assert!(post(address, &event).await.starts_with("HTTP/1.1 204 "));
    let block = stream.next().await.expect("an event");
    assert_eq!(
        (block.field("event").as_deref(), block.field("data").as_deref()),
        (Some("item-renamed"), Some("{}"))
    );

    let unusable = json!({ "users": ["einstein"], "type": "a\nb", "content": "" }).to_string();
    let answer = post(address, &unusable).await;
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("problem+json"), "{answer}");
    assert!(answer.contains("an event type contains a line break or NUL"), "{answer}");

    demo.terminate();
    assert_eq!(demo.status().await, Some(0));
    assert_eq!(stream.closing_comment().await, "the service is stopping");
}

async fn post(address: std::net::SocketAddr, json: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    let length = json.len();
    let request = format!(
        "POST /publish HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{json}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}
