//! The settings about how often one may ask reach those who ask.

use reqwest::{Method, StatusCode};

use crate::server::{Server, answer};

#[tokio::test]
async fn limits_are_off_in_dev_until_they_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;
    let free = server.request(Method::GET, "/v1/me").send().await.unwrap();
    assert!(free.status() == StatusCode::OK && !free.headers().contains_key("ratelimit"));
    assert!(server.stop().await.success());

    // So few that none comes back while the test goes on.
    let set = [("BERTH_RATES__PRINCIPAL", "2"), ("BERTH_RATES__FAILURES_PER_SOURCE", "1")];
    let server = Server::start(&dir, &set).await;
    for (left, status) in [("1", StatusCode::OK), ("0", StatusCode::OK), ("0", StatusCode::TOO_MANY_REQUESTS)] {
        let told = server.request(Method::GET, "/v1/me").send().await.unwrap();
        assert_eq!(told.status(), status);
        assert!(told.headers()["ratelimit"].to_str().unwrap().contains(&format!("r={left};")), "{:?}", told.headers());
        assert_eq!(told.headers()["ratelimit-policy"], "\"principal\";q=2;w=60");
    }
    let wrong = async || answer(server.client.get(format!("{}/v1/me", server.url)).bearer_auth("wrong").send().await.unwrap()).await.0;
    assert_eq!((wrong().await, wrong().await), (StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS));
}
