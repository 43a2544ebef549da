//! How often one may ask, and what is said of it; wrong credentials, and whom they do not hold up.

use std::sync::atomic::Ordering;

use api::PerMinute;
use domain::secrets::{Kind, make};
use serde_json::json;
use uuid::Uuid;

use crate::world::{Answer, Call, User, Wish, World};

async fn limited(rates: PerMinute) -> World {
    World::with(Wish { rates, ..Wish::default() }).await
}

fn pass(world: &World, seconds: i64) {
    world.now.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
}

async fn wrong(world: &World, token: &str) -> Answer {
    world.send(Call::get("/v1/me").bearer(token)).await
}

/// Of a service account of the account.
async fn program(world: &World, owner: &User, account: Uuid, name: &str) -> (Uuid, String, String) {
    let made = world.post(&format!("/v1/accounts/{account}/service-accounts"), owner, json!({"name": name})).await;
    let path = format!("/v1/accounts/{account}/service-accounts/{}/secrets", made.id("id"));
    let secret = world.post(&path, owner, json!({})).await;
    (made.id("id"), secret.json["id"].as_str().unwrap().to_owned(), secret.json["client_secret"].as_str().unwrap().to_owned())
}

async fn exchange(world: &World, client: Uuid, secret: &str) -> Answer {
    world.send(Call::post("/v1/tokens", &json!({"grant_type": "client_credentials", "client_id": client, "client_secret": secret}))).await
}

#[tokio::test]
async fn a_principal_has_its_quota_to_itself_and_is_told_what_is_left() {
    let world = limited(PerMinute { requests_of_principal: 6, ..PerMinute::default() }).await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    for left in (0..6).rev() {
        let answer = world.get("/v1/me", &ada).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"principal\";q=6;w=60");
        assert_eq!(answer.header("ratelimit"), format!("\"principal\";r={left};t={}", 60 - 10 * left));
    }
    let refused = world.get("/v1/me", &ada).await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((429, "rate_limited"), "10"));
    assert_eq!(refused.header("ratelimit"), "\"principal\";r=0;t=70");
    assert_eq!(world.get("/v1/me", &User { token: world.token(ada.principal), ..ada.clone() }).await.status, 429, "whichever the token");
    assert_eq!(world.get("/v1/me", &bob).await.status, 200);
    assert_eq!(world.send(Call::get("/livez")).await.header("ratelimit"), "", "what needs no token is not counted");
    pass(&world, 10);
    assert_eq!(world.get("/v1/me", &ada).await.status, 200);
    assert_eq!(world.get("/v1/me", &ada).await.status, 429);
}

#[tokio::test]
async fn what_is_refused_for_its_number_does_nothing() {
    let world = limited(PerMinute { requests_of_principal: 1, ..PerMinute::default() }).await;
    let ada = world.user("ada").await;
    assert_eq!(world.post("/v1/api-tokens", &ada, json!({"name": "a"})).await.status, 201);
    assert_eq!(world.post("/v1/api-tokens", &ada, json!({"name": "b"})).await.code(), (429, "rate_limited"));
    pass(&world, 60);
    assert_eq!(world.get("/v1/api-tokens", &ada).await.counted("name").len(), 1);
}

#[tokio::test]
async fn the_service_accounts_of_an_account_share_what_it_has() {
    let world = limited(PerMinute { requests_of_account: 3, ..PerMinute::default() }).await;
    let ada = world.user("ada").await;
    let (account, elsewhere) = (world.account(&ada).await, world.account(&ada).await);
    let mut robots = Vec::new();
    for (name, account) in [("one", account), ("two", account), ("other", elsewhere)] {
        let (id, _, secret) = program(&world, &ada, account, name).await;
        let given = exchange(&world, id, &secret).await;
        robots.push(User { principal: ada.principal, token: given.json["access_token"].as_str().unwrap().to_owned() });
    }
    let answer = world.get("/v1/me", &robots[0]).await;
    assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, "\"account\";r=2;t=20"));
    assert_eq!(world.get("/v1/me", &robots[1]).await.header("ratelimit"), "\"account\";r=1;t=40");
    assert_eq!(world.get("/v1/me", &robots[0]).await.status, 200);
    assert_eq!(world.get("/v1/me", &robots[1]).await.code(), (429, "rate_limited"));
    assert_eq!(world.get("/v1/me", &robots[2]).await.status, 200, "another account's");
    assert_eq!(world.get(&format!("/v1/accounts/{account}"), &ada).await.status, 200, "a user belongs to none");
}

#[tokio::test]
async fn a_source_of_wrong_tokens_is_not_listened_to_but_for_who_is_known() {
    let world = limited(PerMinute { failures_of_source: 3, ..PerMinute::default() }).await;
    let (ada, late) = (world.user("ada").await, world.user("late").await);
    assert_eq!(world.get("/v1/me", &ada).await.status, 200);
    for n in 0..3 {
        assert_eq!(wrong(&world, &format!("wrong-{n}")).await.code(), (401, "invalid_token"));
    }
    let refused = wrong(&world, "wrong-4").await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((429, "rate_limited"), "20"));
    assert_eq!(world.get("/v1/me", &ada).await.status, 200, "her token was good a moment ago");
    assert_eq!(world.get("/v1/me", &late).await.status, 429, "this one may be another guess");
    assert_eq!(exchange(&world, Uuid::now_v7(), "berth_secret_1").await.status, 429, "whatever is guessed");
    pass(&world, 20);
    assert_eq!(world.get("/v1/me", &late).await.status, 200, "what is right costs nothing");
    assert_eq!(wrong(&world, "wrong-5").await.status, 401);
    assert_eq!(wrong(&world, "wrong-6").await.status, 429);
}

#[tokio::test]
async fn guesses_at_one_secret_are_counted_together_and_shut_its_holder_out_not() {
    let world = limited(PerMinute { failures_of_credential: 3, ..PerMinute::default() }).await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let (id, secret_id, secret) = program(&world, &ada, account, "one").await;
    let (other, _, others) = program(&world, &ada, account, "two").await;
    assert_eq!(exchange(&world, id, &secret).await.status, 200);
    let guess = |n: u8| make(Kind::Client, secret_id.parse().unwrap(), [n; 32]).0;
    for n in 0..3 {
        assert_eq!(exchange(&world, id, guess(n).expose()).await.code(), (401, "invalid_client"));
    }
    assert_eq!(exchange(&world, id, guess(3).expose()).await.code(), (429, "rate_limited"));
    assert_eq!(exchange(&world, id, &secret).await.status, 200, "whose secret it is comes in");
    assert_eq!(exchange(&world, other, &others).await.status, 200);
    // One text that is sent again and again.
    for _ in 0..3 {
        assert_eq!(wrong(&world, "a.b.c").await.status, 401);
    }
    assert_eq!(wrong(&world, "a.b.c").await.status, 429);
    assert_eq!(wrong(&world, "a.b.d").await.status, 401);
}

#[tokio::test]
async fn a_token_that_was_good_once_is_held_up_as_any_other_wrong_one() {
    let world = limited(PerMinute { failures_of_credential: 2, ..PerMinute::default() }).await;
    let ada = world.user("ada").await;
    let made = world.post("/v1/api-tokens", &ada, json!({"name": "a"})).await;
    let token = made.json["token"].as_str().unwrap();
    assert_eq!(wrong(&world, token).await.status, 200);
    assert_eq!(world.send(Call::new("DELETE", &format!("/v1/api-tokens/{}", made.id("id"))).user(&ada)).await.status, 204);
    for _ in 0..2 {
        assert_eq!(wrong(&world, token).await.code(), (401, "invalid_token"));
    }
    assert_eq!(wrong(&world, token).await.status, 429);
}

#[tokio::test]
async fn secrets_are_exchanged_no_oftener_than_their_holder_may_ask() {
    let world = limited(PerMinute { requests_of_principal: 20, ..PerMinute::default() }).await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    pass(&world, 60);
    let (id, _, secret) = program(&world, &ada, account, "one").await;
    for _ in 0..20 {
        assert_eq!(exchange(&world, id, &secret).await.status, 200);
    }
    assert_eq!(exchange(&world, id, &secret).await.code(), (429, "rate_limited"));
    let wrong = make(Kind::Client, Uuid::now_v7(), [7; 32]).0;
    assert_eq!(exchange(&world, id, wrong.expose()).await.status, 401, "who does not have it uses nothing up");
}
