//! Plans of prepared statements are kept. One that was made while the tables were small must be right for large ones: none reads a table
//! whole that grows.

use store::db::Statement;
use testkit::Backend::Postgres;

use crate::world::World;

/// Tables that stay small, whatever Berth does: a row for each migration, a row for each pause in force.
const SMALL: &[&str] = &["schema_compatibility", "pauses"];

/// A statement that is made here, for as long as the test.
fn made(text: String) -> &'static Statement {
    Box::leak(Box::new(Statement::shared("made by the test", Box::leak(text.into_boxed_str()))))
}

/// How many parameters the text has.
fn parameters(text: &str) -> usize {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split('$').skip(1).filter_map(|rest| digits(rest).parse::<usize>().ok()).max().unwrap_or_default()
}

#[tokio::test]
async fn no_kept_plan_reads_a_table_whole_that_grows() {
    let world = World::new(Postgres).await;
    let mut found = Vec::new();
    for statement in store::statements() {
        let [text, _] = statement.texts();
        if !["select", "with", "update", "delete", "insert"].contains(&text.split_whitespace().next().unwrap_or_default()) {
            continue;
        }
        let mut tx = world.test.db.write().await.unwrap();
        tx.query(made("set local plan_cache_mode = force_generic_plan".to_owned())).execute().await.unwrap();
        tx.query(made(format!("prepare planned as {text}"))).execute().await.unwrap();
        let values = vec!["null"; parameters(text)].join(", ");
        let execute = if values.is_empty() { "execute planned".to_owned() } else { format!("execute planned({values})") };
        let rows = tx.query(made(format!("explain (costs off) {execute}"))).fetch_all().await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("QUERY PLAN").unwrap()).collect();
        for line in &plan {
            let whole = line.split_once("Seq Scan on ").and_then(|(_, rest)| rest.split_whitespace().next());
            if whole.is_some_and(|table| !SMALL.contains(&table)) || line.contains("Hash Join") || line.contains("Merge Join") {
                found.push(format!("{}: {}", statement.name(), line.trim()));
            }
        }
        tx.query(made("deallocate planned".to_owned())).execute().await.unwrap();
        tx.rollback().await.unwrap();
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
