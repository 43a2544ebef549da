//! Answers of the revision that a row was read with.

use super::*;

const OWNER: &str = "workspace:w#read@user:owner";

/// Told of `seen`, by a system that has been asked before and does not hear of a write.
async fn answered(memory: &Arc<Memory>, embedded: &Embedded, seen: Revision, consistency: &Consistency) -> bool {
    memory.apply(&[Delete(tuple("workspace:w#owner@user:owner"))]);
    embedded.check_of_row(&[asked(OWNER)], consistency, seen).await.unwrap()[0]
}

async fn asked_before() -> (Arc<Memory>, Embedded, Revision) {
    let memory = Arc::new(Memory::default());
    memory.apply(&WORLD.iter().map(|t| Touch(tuple(t))).collect::<Vec<_>>());
    let embedded = Embedded::new(memory.clone());
    assert!(may(&embedded, OWNER).await);
    let seen = memory.revision().await.unwrap();
    (memory, embedded, seen)
}

#[tokio::test]
async fn what_is_remembered_of_the_rows_revision_is_the_answer_whatever_has_been_written_since() {
    let (memory, embedded, seen) = asked_before().await;
    assert!(answered(&memory, &embedded, seen, &Consistency::MinimizeLatency).await);
    assert!(!may(&embedded, OWNER).await, "a question without a row is answered as of now");
}

#[tokio::test]
async fn of_another_revision_than_the_remembered_one_or_where_more_is_asked_the_answer_is_the_present_one() {
    for other in [Revision { number: 9, mark: None }, Revision { number: 1, mark: Some(uuid::Uuid::from_u128(1)) }] {
        let (memory, embedded, seen) = asked_before().await;
        assert_ne!(seen, other);
        assert!(!answered(&memory, &embedded, other, &Consistency::MinimizeLatency).await);
    }
    let (memory, embedded, seen) = asked_before().await;
    assert!(!answered(&memory, &embedded, seen, &Consistency::FullyConsistent).await);
}

#[tokio::test]
async fn what_is_not_remembered_is_read_and_all_of_one_revision() {
    let (memory, embedded, seen) = asked_before().await;
    memory.apply(&[Delete(tuple("workspace:w#owner@user:owner"))]);
    // One is remembered, as it was; the other is not, and is read as it is.
    let checks = [asked(OWNER), asked("workspace:w2#read@user:owner")];
    assert_eq!(embedded.check_of_row(&checks, &Consistency::MinimizeLatency, seen).await.unwrap(), [false, false]);
}
