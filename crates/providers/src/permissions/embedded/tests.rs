//! The evaluator over tuples in memory: who may do what, what a write is refused for, and answers of one revision.

mod of_row;

use std::collections::BTreeSet;

use domain::permissions::Update::{Create, Delete, Touch};
use domain::permissions::{Consistency, Revision, UPDATES_MAX, Wanted};

use super::*;
use crate::permissions::tests::memory::Memory;
use crate::permissions::tests::notation::{asked, tuple};

const CAUSE: Cause = Cause::Hand("test");

/// Two accounts of one platform; workspaces w and w2 in the first, x in the second.
const WORLD: &[&str] = &[
    "platform:main#operator@user:operator",
    "platform:main#auditor@user:auditor",
    "account:a#platform@platform:main",
    "account:a#owner@user:account-owner",
    "account:a#admin@user:account-admin",
    "account:a#admin@service_account:robot",
    "account:a#member@user:account-member",
    "account:b#platform@platform:main",
    "account:b#owner@user:other-owner",
    "workspace:w#account@account:a",
    "workspace:w#owner@user:owner",
    "workspace:w#admin@user:admin",
    "workspace:w#member@user:member",
    "workspace:w#viewer@user:viewer",
    "workspace:w#sealed@saga:r1",
    "workspace:w2#account@account:a",
    "workspace:w2#viewer@user:viewer",
    "workspace:x#account@account:b",
    "environment:e#workspace@workspace:w",
    "service_account:robot#account@account:a",
];

fn world() -> Embedded {
    let memory = Memory::default();
    memory.apply(&WORLD.iter().map(|t| Touch(tuple(t))).collect::<Vec<_>>());
    Embedded::new(Arc::new(memory))
}

async fn may(embedded: &Embedded, text: &str) -> bool {
    embedded.check(&[asked(text)], &Consistency::FullyConsistent).await.unwrap()[0]
}

#[tokio::test]
async fn each_role_may_do_what_the_design_says_and_nothing_else() {
    // For each: permissions on account a, workspace w and environment e.
    let table = [
        ("user:operator", "administer read read_workspaces", "administer write read", "administer write read"),
        ("user:auditor", "read read_workspaces", "read", "read"),
        ("user:account-owner", "administer read read_workspaces", "administer write read", "administer write read"),
        ("user:account-admin", "administer read read_workspaces", "administer write read", "administer write read"),
        ("service_account:robot", "administer read read_workspaces", "administer write read", "administer write read"),
        ("user:account-member", "read", "", ""),
        ("user:owner", "", "administer write read membership", "administer write read"),
        ("user:admin", "", "administer write read membership", "administer write read"),
        ("user:member", "", "write read membership", "write read"),
        ("user:viewer", "", "read membership", "read"),
        ("user:other-owner", "", "", ""),
        ("user:stranger", "", "", ""),
        ("user:robot", "", "", ""),
        ("saga:r1", "", "", ""),
    ];
    let embedded = world();
    for (subject, account, workspace, environment) in table {
        for (resource, all, wanted) in [
            ("account:a", "administer read read_workspaces", account),
            ("workspace:w", "administer write read membership", workspace),
            ("environment:e", "administer write read", environment),
        ] {
            // One call for all, so that a row's checks must not get into each other's way.
            let checks: Vec<_> = all.split(' ').map(|p| asked(&format!("{resource}#{p}@{subject}"))).collect();
            let answers = embedded.check(&checks, &Consistency::MinimizeLatency).await.unwrap();
            let held: Vec<_> = all.split(' ').zip(answers).filter(|(_, holds)| *holds).map(|(p, _)| p).collect();
            assert_eq!(held.join(" "), wanted, "{subject} on {resource}");
        }
    }
}

#[tokio::test]
async fn operators_read_every_workspace_and_are_members_of_none() {
    let embedded = world();
    let lookup = async |permission, subject: &str| {
        let subject = asked(&format!("platform:main#read@{subject}")).subject;
        embedded.lookup("workspace", permission, &subject, &Consistency::FullyConsistent).await.unwrap()
    };
    assert_eq!(lookup("read", "user:operator").await, ["w", "w2", "x"]);
    assert_eq!(lookup("membership", "user:operator").await, [""; 0]);
    assert_eq!(lookup("administer", "user:auditor").await, [""; 0]);
    assert_eq!(lookup("read", "user:account-admin").await, ["w", "w2"]);
    assert_eq!(lookup("write", "service_account:robot").await, ["w", "w2"]);
    assert_eq!(lookup("membership", "user:viewer").await, ["w", "w2"]);
    assert_eq!(lookup("read", "user:account-member").await, [""; 0]);
    // A relation can be looked up as well, and a workspace is not what its account "has".
    assert_eq!(lookup("account", "account:a").await, ["w", "w2"]);
    assert_eq!(lookup("read", "account:a").await, [""; 0]);
}

#[tokio::test]
async fn a_lookup_finds_exactly_what_single_checks_allow() {
    let embedded = world();
    let objects: BTreeSet<Object> = WORLD.iter().map(|t| tuple(t)).flat_map(|r| [r.resource, r.subject]).collect();
    let mut found = 0;
    for kind in crate::permissions::schema::SCHEMA {
        let names = kind.permissions.iter().map(|p| p.name).chain(kind.relations.iter().map(|r| r.name));
        for name in names {
            for subject in &objects {
                let ids = embedded.lookup(kind.name, name, subject, &Consistency::FullyConsistent).await.unwrap();
                found += ids.len();
                for resource in objects.iter().filter(|o| o.kind == kind.name) {
                    let check = Check { resource: resource.clone(), permission: name.to_owned(), subject: subject.clone() };
                    let holds = embedded.check(&[check], &Consistency::FullyConsistent).await.unwrap()[0];
                    assert_eq!(holds, ids.contains(&resource.id), "{resource:?}#{name}@{subject:?}");
                }
            }
        }
    }
    assert!(found > 50, "only {found} grants were compared");
}

#[tokio::test]
async fn more_checks_than_one_query_holds_are_answered_in_order() {
    let embedded = world();
    let checks: Vec<_> = (0..700)
        .map(|i| asked(&format!("workspace:{}#membership@user:owner", if i % 3 == 0 { "w".to_owned() } else { format!("n{i}") })))
        .collect();
    let answers = embedded.check(&checks, &Consistency::FullyConsistent).await.unwrap();
    assert_eq!(answers, (0..700).map(|i| i % 3 == 0).collect::<Vec<_>>());
}

#[tokio::test]
async fn rights_on_a_workspace_and_its_environments_are_one_query() {
    for (subject, checks, held, queries) in [
        ("owner", ["workspace:w#administer", "environment:e#read", "environment:e#write"], [true; 3], 1),
        ("viewer", ["environment:e#read", "workspace:w#read", "environment:e#administer"], [true, true, false], 3),
    ] {
        let memory = Arc::new(Memory::default());
        memory.apply(&WORLD.iter().map(|t| Touch(tuple(t))).collect::<Vec<_>>());
        let checks = checks.map(|check| asked(&format!("{check}@user:{subject}")));
        let answers = Embedded::new(memory.clone()).check(&checks, &Consistency::FullyConsistent).await.unwrap();
        assert_eq!(answers, held);
        // A "no" is only known where all ways have been looked at.
        assert_eq!(*memory.queries.lock().unwrap(), queries, "for {subject}");
    }
}

#[tokio::test]
async fn an_answer_is_that_of_one_revision_whenever_a_write_comes_between() {
    // Viewing through the account is exchanged for viewing directly, in one write: at no revision was it denied.
    for moves_at in 1..=6 {
        let memory = Memory {
            moves_at,
            moves: vec![Delete(tuple("account:a#admin@user:ann")), Touch(tuple("workspace:w#viewer@user:ann"))],
            ..Memory::default()
        };
        memory.apply(&[Touch(tuple("workspace:w#account@account:a")), Touch(tuple("account:a#admin@user:ann"))]);
        let embedded = Embedded::new(Arc::new(memory));
        assert!(may(&embedded, "workspace:w#read@user:ann").await, "denied when the write came before query {moves_at}");
    }
}

#[tokio::test]
async fn an_answer_is_found_although_a_write_comes_before_every_query() {
    let memory = Memory { restless: true, ..Memory::default() };
    memory.apply(&WORLD.iter().map(|t| Touch(tuple(t))).collect::<Vec<_>>());
    let memory = Arc::new(memory);
    let embedded = Embedded::new(memory.clone());
    // Three rounds from the platform, which no three queries would meet at one revision.
    assert!(may(&embedded, "environment:e#read@user:auditor").await);
    assert!(!may(&embedded, "environment:e#administer@user:auditor").await);
    assert!(*memory.queries.lock().unwrap() < 20);
}

#[tokio::test]
async fn what_was_read_once_is_read_again_only_after_a_write() {
    let memory = Arc::new(Memory::default());
    memory.apply(&WORLD.iter().map(|t| Touch(tuple(t))).collect::<Vec<_>>());
    let embedded = Embedded::new(memory.clone());
    let queries = || *memory.queries.lock().unwrap();
    assert!(may(&embedded, "workspace:w#read@user:account-admin").await);
    let once = queries();
    assert!(may(&embedded, "workspace:w#read@user:account-admin").await);
    assert_eq!(queries(), once);
    // By somebody else, whom this evaluator does not hear of.
    memory.apply(&[Delete(tuple("account:a#admin@user:account-admin"))]);
    assert!(!may(&embedded, "workspace:w#read@user:account-admin").await);
    assert!(queries() > once);
    memory.apply(&[Touch(tuple("workspace:w#viewer@user:account-admin"))]);
    assert!(may(&embedded, "workspace:w#read@user:account-admin").await);
}

#[tokio::test]
async fn a_write_that_took_the_number_of_a_lost_one_is_seen() {
    let memory = Arc::new(Memory::default());
    let write = |viewer: &str, mark| {
        *memory.mark.lock().unwrap() = Some(uuid::Uuid::from_u128(mark));
        let mut state = memory.state.lock().unwrap();
        *state = (1, BTreeSet::from([tuple(&format!("workspace:w#viewer@user:{viewer}"))]));
    };
    let embedded = Embedded::new(memory.clone());
    write("ann", 1);
    assert!(may(&embedded, "workspace:w#read@user:ann").await);
    write("bob", 2);
    assert!(!may(&embedded, "workspace:w#read@user:ann").await);
}

#[tokio::test]
async fn of_many_members_only_the_one_in_question_is_read() {
    let memory = Arc::new(Memory::default());
    memory.apply(&(0..1000).map(|n| Touch(tuple(&format!("account:a#member@user:u{n}")))).collect::<Vec<_>>());
    let wanted = Wanted { resource: Object::new("account", "a"), relation: "member", subject: Some(Object::new("user", "u7")) };
    assert_eq!(memory.subjects(&[wanted]).await.unwrap().1, [vec![Object::new("user", "u7")]]);
    let reads = Arc::new(Largest { inner: memory, most: std::sync::Mutex::default() });
    let embedded = Embedded::new(reads.clone());
    assert!(may(&embedded, "account:a#read@user:u7").await);
    assert!(!may(&embedded, "account:a#read@user:stranger").await);
    assert_eq!(*reads.most.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_lookup_is_that_of_one_revision_whenever_a_write_comes_between() {
    // A workspace leaves the account while its viewing becomes direct: at every revision both were readable.
    for moves_at in 1..=6 {
        let memory = Memory {
            moves_at,
            moves: vec![Delete(tuple("workspace:w#account@account:a")), Touch(tuple("workspace:w#viewer@user:ann"))],
            ..Memory::default()
        };
        memory.apply(&[
            Touch(tuple("workspace:w#account@account:a")),
            Touch(tuple("workspace:w2#account@account:a")),
            Touch(tuple("account:a#admin@user:ann")),
        ]);
        let embedded = Embedded::new(Arc::new(memory));
        let ann = Object::new("user", "ann");
        let found = embedded.lookup("workspace", "read", &ann, &Consistency::FullyConsistent).await.unwrap();
        assert_eq!(found, ["w", "w2"], "when the write came before query {moves_at}");
    }
}

#[tokio::test]
async fn names_and_ids_that_the_schema_does_not_know_are_faults_and_never_a_no() {
    let embedded = world();
    for wrong in [
        "folder:f#read@user:ann",
        "workspace:w#fly@user:ann",
        "workspace:w#read@robot:r2",
        "workspace:w.1#read@user:ann",
        "workspace:w#read@user:ann.lee",
        "workspace:#read@user:ann",
        "workspace:w#read@user:*",
    ] {
        let answer = embedded.check(&[asked("workspace:w#read@user:owner"), asked(wrong)], &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{wrong}: {answer:?}");
    }
    let ann = Object::new("user", "ann");
    for (kind, permission) in [("folder", "read"), ("workspace", "fly")] {
        let answer = embedded.lookup(kind, permission, &ann, &Consistency::FullyConsistent).await;
        assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{kind}#{permission}: {answer:?}");
    }
    let token = Consistency::AtLeastAsFresh("GhUKEzE2".to_owned());
    let answer = embedded.check(&[asked("workspace:w#read@user:owner")], &token).await;
    assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{answer:?}");
}

#[tokio::test]
async fn a_write_that_the_schema_forbids_is_a_fault_and_changes_nothing() {
    let embedded = world();
    let longest = "i".repeat(1024);
    for wrong in [
        "folder:f#owner@user:ann",
        "workspace:w#read@user:ann",
        "workspace:w#fly@user:ann",
        "workspace:w#owner@service_account:robot",
        "workspace:w#owner@account:a",
        "workspace:w#sealed@user:ann",
        "environment:e#workspace@account:a",
        "workspace:w 1#owner@user:ann",
        &format!("workspace:{longest}i#owner@user:ann"),
    ] {
        for update in [Create(tuple(wrong)), Touch(tuple(wrong)), Delete(tuple(wrong))] {
            let answer = embedded.write(&[Touch(tuple("workspace:w#owner@user:ann")), update], &[], &CAUSE).await;
            assert!(matches!(answer, Err(PermissionsError::Invalid(_))), "{wrong}: {answer:?}");
        }
    }
    assert!(!may(&embedded, "workspace:w#owner@user:ann").await);
    embedded.write(&[Touch(tuple(&format!("workspace:{longest}#owner@user:a/b_c|d=e+f-9")))], &[], &CAUSE).await.unwrap();
}

#[tokio::test]
async fn a_write_holds_at_most_a_thousand_updates_and_names_no_tuple_twice() {
    let embedded = world();
    let many = |n: usize| (0..n).map(|i| Touch(tuple(&format!("workspace:w#viewer@user:u{i}")))).collect::<Vec<_>>();
    embedded.write(&many(UPDATES_MAX), &[], &CAUSE).await.unwrap();
    assert!(matches!(embedded.write(&many(UPDATES_MAX + 1), &[], &CAUSE).await, Err(PermissionsError::Invalid(_))));
    let twice = [Touch(tuple("workspace:w#viewer@user:ann")), Delete(tuple("workspace:w#viewer@user:ann"))];
    assert!(matches!(embedded.write(&twice, &[], &CAUSE).await, Err(PermissionsError::Invalid(_))));
}

#[tokio::test]
async fn touch_and_delete_replay_silently_create_does_not_and_each_write_has_a_later_token() {
    let embedded = world();
    let ann = || tuple("workspace:w#viewer@user:ann");
    let mut last = 0;
    for update in [Touch(ann()), Touch(ann()), Delete(ann()), Delete(ann()), Create(ann())] {
        let token: i64 = embedded.write(&[update], &[], &CAUSE).await.unwrap().parse().unwrap();
        assert!(token > last);
        last = token;
    }
    assert_eq!(embedded.write(&[Create(ann())], &[], &CAUSE).await, Err(PermissionsError::AlreadyExists));
    assert!(embedded.check(&[asked("workspace:w#read@user:ann")], &Consistency::AtLeastAsFresh(last.to_string())).await.unwrap()[0]);
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_is_told_by_its_index() {
    let embedded = world();
    let filter = |relation: &str, subject: Option<Object>| Filter {
        resource_kind: "workspace".to_owned(),
        resource_id: Some("w".to_owned()),
        relation: Some(relation.to_owned()),
        subject,
    };
    let seal = |run: &str| Precondition::MustNotMatch(filter("sealed", Some(Object::new("saga", run))));
    let update = [Touch(tuple("workspace:w#viewer@user:ann"))];
    let refused = embedded.write(&update, &[seal("r2"), Precondition::MustMatch(filter("owner", None)), seal("r1")], &CAUSE).await;
    assert_eq!(refused, Err(PermissionsError::PreconditionFailed { index: 2 }));
    assert!(!may(&embedded, "workspace:w#read@user:ann").await);
    embedded.write(&update, &[seal("r2")], &CAUSE).await.unwrap();
    assert!(may(&embedded, "workspace:w#read@user:ann").await);
    let unknown = Precondition::MustMatch(filter("fly", None));
    assert!(matches!(embedded.write(&update, &[unknown], &CAUSE).await, Err(PermissionsError::Invalid(_))));
}

#[tokio::test]
async fn read_gives_the_relationships_that_match() {
    let embedded = world();
    let filter = Filter {
        resource_kind: "workspace".to_owned(),
        resource_id: None,
        relation: Some("viewer".to_owned()),
        subject: Some(Object::new("user", "viewer")),
    };
    let found = embedded.read(&filter).await.unwrap();
    assert_eq!(found, [tuple("workspace:w#viewer@user:viewer"), tuple("workspace:w2#viewer@user:viewer")]);
    let unknown = Filter { resource_kind: "folder".to_owned(), ..filter };
    assert!(matches!(embedded.read(&unknown).await, Err(PermissionsError::Invalid(_))));
}

/// How many subjects one question has given at most.
struct Largest {
    inner: Arc<Memory>,
    most: std::sync::Mutex<usize>,
}

#[async_trait]
impl Tuples for Largest {
    async fn revision(&self) -> Result<Revision, PermissionsError> {
        self.inner.revision().await
    }

    async fn subjects(&self, wanted: &[Wanted]) -> Result<(Revision, Vec<Vec<Object>>), PermissionsError> {
        let (revision, found) = self.inner.subjects(wanted).await?;
        let mut most = self.most.lock().unwrap();
        *most = found.iter().map(Vec::len).max().unwrap_or_default().max(*most);
        Ok((revision, found))
    }

    async fn by_subject(&self, subjects: &[Object]) -> Result<(Revision, Vec<Relationship>), PermissionsError> {
        self.inner.by_subject(subjects).await
    }

    async fn matching(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.matching(filter).await
    }

    async fn page(&self, kind: &str, after: Option<&Relationship>, limit: u32) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.page(kind, after, limit).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<i64, PermissionsError> {
        self.inner.write(updates, preconditions).await
    }
}
