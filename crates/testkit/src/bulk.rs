//! Fills an audit log with more entries than anybody could cause in a test, each in its place in the chain.

use domain::audit::{Draft, seal};
use domain::ids::{bucket, within};
use serde_json::json;
use store::Db;
use store::db::Statement;
use uuid::Uuid;

static HEAD: Statement =
    Statement::shared("bulk head", "select audit_seq, audit_hash from account_heads where bucket = $1 and account_id = $2");
static MOVE_HEAD: Statement =
    Statement::shared("bulk move head", "update account_heads set audit_seq = $3, audit_hash = $4 where bucket = $1 and account_id = $2");
static INSERT: Statement = Statement::shared(
    "bulk entry",
    "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
);

/// Appends `count` entries about `workspace` to the chain of `account`, each about 1 KiB long, in one transaction.
///
/// # Panics
/// If the database refuses one.
pub async fn append_entries(db: &Db, account: Uuid, workspace: Option<Uuid>, count: u32) {
    let place = bucket(account);
    let mut tx = db.write().await.expect("the database can be written");
    let now = tx.now().await.expect("the database has a time");
    let head = tx.query(&HEAD).bind(place).bind(account).fetch_one().await.expect("the account has a head");
    let seq: i64 = head.get("audit_seq").expect("a number");
    let hash: Vec<u8> = head.get("audit_hash").expect("a hash");
    let mut hash: [u8; 32] = hash.try_into().expect("32 bytes");
    let mut draft = Draft {
        id: Uuid::nil(),
        account_id: account,
        workspace_id: workspace,
        actor: None,
        credential_id: None,
        source_ip: None,
        user_agent: None,
        action: "bulk.entry".to_owned(),
        targets: Vec::new(),
        outcome: "accepted".to_owned(),
        problem_type: None,
        request_id: None,
        trace_id: None,
        run_id: None,
        step: None,
        before: None,
        after: Some(json!({"filling": "x".repeat(400)})),
        reason: None,
        journal_sha256: None,
    };
    let mut last = seq;
    for _ in 0..count {
        last += 1;
        draft.id = within(account, Uuid::now_v7());
        let (entry, sealed) = seal(&draft, u64::try_from(last).expect("a chain counts from 1"), now, &hash);
        hash = sealed;
        let text = serde_json::to_string(&entry).expect("an entry is JSON");
        tx.query(&INSERT)
            .bind(place)
            .bind(account)
            .bind(last)
            .bind(draft.id)
            .bind(workspace)
            .bind(draft.action.as_str())
            .bind(now)
            .bind(hash.as_slice())
            .bind(text)
            .execute()
            .await
            .expect("an entry fits");
    }
    tx.query(&MOVE_HEAD).bind(place).bind(account).bind(last).bind(hash.as_slice()).execute().await.expect("the head moves");
    tx.commit().await.expect("the entries are committed");
}
