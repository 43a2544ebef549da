use saga::RunId;
use serde_json::json;
use uuid::{Uuid, uuid};

use super::*;
use crate::audit::{Actor, Target};
use crate::{Principal, PrincipalKind};

const ACCOUNT: Uuid = uuid!("6f1c9a52-0b1d-4c7e-9d58-3a2b1c0d9e42");

fn key(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

pub(in crate::audit) fn draft() -> Draft {
    Draft {
        id: uuid!("01930000-0000-7000-8000-000000000042"),
        account_id: ACCOUNT,
        workspace_id: Some(uuid!("01930000-0000-7000-8000-000000000142")),
        actor: Some(Actor {
            principal: Principal { kind: PrincipalKind::User, id: uuid!("01930000-0000-7000-8000-0000000000aa") },
            on_behalf_of: None,
        }),
        credential_id: Some("jti-1".to_owned()),
        source_ip: Some(Personal::new("192.0.2.7", key(0))),
        user_agent: None,
        action: "workspace.create".to_owned(),
        targets: vec![Target { kind: "workspace".to_owned(), id: uuid!("01930000-0000-7000-8000-000000000142") }],
        outcome: "accepted".to_owned(),
        problem_type: None,
        request_id: Some("req-1".to_owned()),
        trace_id: None,
        run_id: Some(RunId(uuid!("01930000-0000-7000-8000-000000000242"))),
        step: None,
        before: None,
        after: Some(json!({"name": "Zoë \"1\"\n🚢", "limit": 1e21, "b": 1, "a": 2.5})),
        reason: Some(Personal::new("a note", key(32))),
        journal_sha256: None,
    }
}

pub(in crate::audit) fn chain(length: u64) -> Vec<Entry> {
    let mut previous = [0; 32];
    (1..=length)
        .map(|seq| {
            let (entry, hash) = seal(&draft(), seq, Time::from_micros(1_000_000 * i64::try_from(seq).unwrap()), &previous);
            previous = hash;
            entry
        })
        .collect()
}

/// Computed with Python's `hashlib`, `hmac` and `json` over the text below, so that a change of the format cannot pass
/// unnoticed by changing writer and reader alike.
#[test]
fn an_entry_has_the_hash_that_another_implementation_computes() {
    let previous: [u8; 32] = Sha256::digest(b"before").into();
    let (entry, hash) = seal(&draft(), 7, Time::parse("2026-11-22T10:11:12.123456Z").unwrap(), &previous);
    assert_eq!(
        String::from_utf8(body(fields(&entry)).unwrap()).unwrap(),
        concat!(
            r#"{"account_id":"6f1c9a52-0b1d-4c7e-9d58-3a2b1c0d9e42","action":"workspace.create","#,
            r#""actor":{"id":"01930000-0000-7000-8000-0000000000aa","on_behalf_of":null,"type":"user"},"#,
            r#""after":{"a":2.5,"b":1,"limit":1e+21,"name":"Zoë \"1\"\n🚢"},"before":null,"credential_id":"jti-1","#,
            r#""id":"01930000-0000-7000-8000-000000000042","journal_sha256":null,"occurred_at":"2026-11-22T10:11:12.123456Z","#,
            r#""outcome":"accepted","problem_type":null,"reason":"1742d1718710ce7e638b1b35e2a76fbb8ff48c3970db75386e961ffaf4f05fc1","#,
            r#""request_id":"req-1","run_id":"01930000-0000-7000-8000-000000000242","schema_version":1,"seq":7,"#,
            r#""source_ip":"2eb3513ee0e06c25d4428a1ac8c0213e79a5e50f509cdd079ae8c964cfc7276d","step":null,"#,
            r#""targets":[{"id":"01930000-0000-7000-8000-000000000142","type":"workspace"}],"trace_id":null,"user_agent":null,"#,
            r#""workspace_id":"01930000-0000-7000-8000-000000000142"}"#,
        )
    );
    assert_eq!(entry.previous, "6db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb");
    assert_eq!(entry.hash, "584b08eef0d912fd1ee906d042b97b2227463b2c7904d4ea7bb033021311051a");
    assert_eq!(hex(&hash), entry.hash);
}
