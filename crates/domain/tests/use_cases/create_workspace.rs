use domain::berth::{Replay, Reply};
use domain::model::{AccountStatus, EnvironmentName, Role, TenancyModel};
use domain::permissions::Object;
use domain::ports::{Answer, CreateWorkspace, Room, Slug, Written};
use domain::steps::input::CreateWorkspaceInput;
use domain::workspaces::create::{Accepted, Plan, Request, create, plan};
use domain::{Error, Principal, ids};
use rstest::rstest;
use saga::ports::OnFailure;
use serde_json::json;

use crate::world::{ACCOUNT, OTHER, ROBOT, USER, World, caller, ready};

fn request() -> Request {
    Request {
        account_id: ACCOUNT,
        name: " Sales  Größe ".to_owned(),
        region: "here".to_owned(),
        slug: None,
        tenancy_model: TenancyModel::Shared,
        on_failure: OnFailure::Rollback,
        labels: [("team".to_owned(), "sales".to_owned())].into(),
        termination_protection: true,
    }
}

fn admins_world() -> std::sync::Arc<World> {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.grant([(Object::account(ACCOUNT), "read"), (Object::account(ACCOUNT), "administer")]);
    world
}

#[rstest]
#[case::user(USER, Role::Owner)]
#[case::service_account(ROBOT, Role::Admin)]
fn what_is_inserted_has_every_id_fixed_and_in_the_accounts_bucket(#[case] creator: Principal, #[case] role: Role) {
    let world = admins_world();
    let Reply::Fresh(accepted) = ready(create(&world.berth(), &caller(creator), request(), None)).unwrap() else { panic!("replayed") };
    assert_eq!(world.wakes(), 1, "the worker is told");

    let created = world.created_workspaces.lock().unwrap();
    let [new] = created.as_slice() else { panic!("one create") };
    assert_eq!((new.id, new.run.id), (accepted.workspace_id, accepted.run_id));
    assert_eq!((new.name.as_str(), new.folded_name.as_str()), ("Sales  Größe", "sales größe"));
    assert_eq!((&new.slug, new.role, new.created_by), (&Slug::Generated("sales-grosse".to_owned()), role, creator));
    assert_eq!((new.run.workspace_id, new.run.definition.name.as_str()), (Some(new.id), "create-workspace"));
    assert_eq!(new.run.trace["request_id"], "req-1");
    assert!(new.run.trace["traceparent"].contains("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(new.audit.action, "workspace.create");
    assert_eq!((new.audit.account_id, new.audit.workspace_id, new.audit.run_id), (ACCOUNT, Some(new.id), Some(new.run.id)));
    assert_eq!(new.audit.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert!(new.idempotency.is_none());
    assert_eq!((new.labels["team"].as_str(), new.termination_protection), ("sales", true));
    assert_eq!(new.audit.after.as_ref().unwrap()["labels"], json!({"team": "sales"}));

    let input: CreateWorkspaceInput = serde_json::from_value(new.run.input.clone()).unwrap();
    assert_eq!((input.workspace_id, input.account_id, input.creator), (new.id, ACCOUNT, creator));
    let environments: Vec<_> = input.environments.iter().map(|e| (e.name, e.is_default)).collect();
    assert_eq!(environments, [(EnvironmentName::Dev, false), (EnvironmentName::Staging, false), (EnvironmentName::Prod, true)]);
    let mut made: Vec<_> = input.environments.iter().flat_map(|e| [e.id, e.backend_workspace_id]).collect();
    made.extend([new.id, new.run.id.0, new.audit.id]);
    assert!(made.iter().all(|id| ids::bucket(*id) == ids::bucket(ACCOUNT)), "{made:?}");
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 9, "no id is used twice");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_before_anything_is_asked() {
    let world = World::new();
    let wrong = Request { name: "\0".repeat(201), region: "mars".to_owned(), slug: Some("-".to_owned()), ..request() };
    let Err(Error::Invalid(invalid)) = ready(create(&world.berth(), &caller(USER), wrong, None)) else { panic!("accepted") };
    let pointers: Vec<_> = invalid.iter().map(|i| i.pointer.as_str()).collect();
    assert_eq!(pointers, ["/name", "/name", "/slug", "/region"]);
    assert!(invalid[3].detail.contains("`here`"), "it says what would be right: {}", invalid[3].detail);
    assert!(world.asked.lock().unwrap().is_empty());
}

#[rstest]
#[case::a_stranger(AccountStatus::Active, OTHER, &[], "not found")]
#[case::a_member(AccountStatus::Active, OTHER, &["read"], "forbidden")]
#[case::an_admin(AccountStatus::Active, OTHER, &["read", "administer"], "accepted")]
#[case::a_stranger_before_it_is_active(AccountStatus::Provisioning, OTHER, &[], "not found")]
#[case::its_creator_before_it_is_active(AccountStatus::Provisioning, USER, &[], "provisioning")]
#[case::its_creator_after_it_failed(AccountStatus::Failed, USER, &[], "failed")]
#[case::its_creator_whose_rights_were_taken_away(AccountStatus::Active, USER, &[], "not found")]
fn creating_needs_administer_on_an_active_account(
    #[case] status: AccountStatus,
    #[case] account_of: Principal,
    #[case] rights: &[&'static str],
    #[case] expected: &str,
) {
    let world = World::new();
    world.account_of(ACCOUNT, status, account_of);
    world.grant(rights.iter().map(|right| (Object::account(ACCOUNT), *right)));
    let answer = match ready(create(&world.berth(), &caller(USER), request(), None)) {
        Ok(_) => "accepted",
        Err(Error::NotFound { what: "account" }) => "not found",
        Err(Error::Forbidden { what: "account", permission: "administer" }) => "forbidden",
        Err(Error::AccountNotActive { status }) => status,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(answer, expected);
    assert_eq!(world.created_workspaces.lock().unwrap().len(), usize::from(expected == "accepted"));
}

#[test]
fn an_outage_of_the_permission_system_is_no_refusal() {
    let world = admins_world();
    *world.is_permission_system_away.lock().unwrap() = true;
    let answer = ready(create(&world.berth(), &caller(USER), request(), None));
    assert!(matches!(answer, Err(Error::Permissions(_))), "{answer:?}");
}

#[rstest]
#[case(Written::Done(CreateWorkspace::SlugTaken { slug: "s".into() }), |e: &Error| matches!(e, Error::SlugTaken { slug } if slug == "s"))]
#[case(Written::Done(CreateWorkspace::QuotaExceeded { max: 3 }), |e: &Error| matches!(e, Error::QuotaExceeded { max: 3 }))]
#[case(
    Written::Done(CreateWorkspace::AccountNotActive { status: Some(AccountStatus::Failed) }),
    |e: &Error| matches!(e, Error::AccountNotActive { status: "failed" })
)]
#[case(Written::Done(CreateWorkspace::AccountNotActive { status: None }), |e: &Error| matches!(e, Error::NotFound { what: "account" }))]
#[case(Written::KeyReused, |e: &Error| matches!(e, Error::KeyReused))]
#[case(Written::KeyBusy, |e: &Error| matches!(e, Error::KeyBusy))]
fn a_refusal_of_the_store_wakes_nobody(#[case] answer: Written<CreateWorkspace>, #[case] expected: fn(&Error) -> bool) {
    let world = admins_world();
    *world.create_answer.lock().unwrap() = Some(answer);
    let error = ready(create(&world.berth(), &caller(USER), request(), None)).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert_eq!(world.wakes(), 0);
}

#[test]
fn the_stored_answer_is_that_of_the_ids_that_are_stored() {
    let world = admins_world();
    let replay = Replay {
        key: "key".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/workspaces".to_owned(),
        fingerprint: vec![1],
        answer: |accepted: &Accepted| Answer { status: 202, location: None, body: json!(accepted.workspace_id) },
    };
    ready(create(&world.berth(), &caller(USER), request(), Some(replay))).unwrap();
    let created = world.created_workspaces.lock().unwrap();
    let idempotency = created[0].idempotency.as_ref().unwrap();
    assert_eq!((idempotency.key.account_id, idempotency.key.principal), (ACCOUNT, USER));
    assert_eq!(idempotency.answer.body, json!(created[0].id));
}

fn plan_in(room: Option<Room>) -> (Result<Plan, Error>, usize) {
    let world = admins_world();
    *world.room.lock().unwrap() = room;
    let wanted = Request { slug: Some("sales".to_owned()), ..request() };
    let answer = ready(plan(&world.berth(), &caller(USER), wanted));
    assert!(world.created_workspaces.lock().unwrap().is_empty(), "a plan creates nothing");
    let entries = world.entries.lock().unwrap().iter().filter(|e| e.action == "workspace.plan").count();
    (answer, entries)
}

#[test]
fn a_plan_tells_the_slug_and_the_steps_and_leaves_an_audit_entry() {
    let room = Room { status: AccountStatus::Active, live: 9, max: 10, slug: Some("sales".to_owned()) };
    let (answer, entries) = plan_in(Some(room));
    let plan = answer.unwrap();
    assert_eq!((plan.saga.as_str(), plan.version, plan.slug.as_str()), ("create-workspace", 1, "sales"));
    let first = &plan.steps[0];
    assert_eq!((first.name.as_str(), first.stage, first.undo.as_deref()), ("create-environments", 0, Some("delete-environments")));
    assert!(plan.steps.iter().any(|step| step.undo.is_none()));
    assert_eq!(entries, 1);
}

#[rstest]
#[case::quota(AccountStatus::Active, 10, Some("sales"), |e: &Error| matches!(e, Error::QuotaExceeded { max: 10 }))]
#[case::slug(AccountStatus::Active, 0, None, |e: &Error| matches!(e, Error::SlugTaken { slug } if slug == "sales"))]
#[case::not_active(AccountStatus::Failed, 0, Some("sales"), |e: &Error| matches!(e, Error::AccountNotActive { status: "failed" }))]
fn a_plan_is_refused_as_the_create_would_be(
    #[case] status: AccountStatus,
    #[case] live: i64,
    #[case] slug: Option<&str>,
    #[case] expected: fn(&Error) -> bool,
) {
    let (answer, _) = plan_in(Some(Room { status, live, max: 10, slug: slug.map(str::to_owned) }));
    let error = answer.unwrap_err();
    assert!(expected(&error), "{error:?}");
}
