//! The `local` backend on a real file system: what a run makes and unmakes, in every order that calls can come in.

mod logins;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use domain::model::EnvironmentName;
use tempfile::TempDir;

use super::*;

struct FixedIds;

impl Ids for FixedIds {
    fn account(&self) -> Uuid {
        Uuid::nil()
    }
    fn within(&self, account: Uuid) -> Uuid {
        account
    }
    fn free(&self) -> Uuid {
        Uuid::now_v7()
    }
    fn key(&self) -> [u8; 32] {
        [7; 32]
    }
}

struct World {
    folder: TempDir,
    local: Arc<Local>,
    stop: CancellationToken,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let local = Arc::new(open(folder.path()).unwrap());
    World { folder, local, stop: CancellationToken::new() }
}

fn open(root: &Path) -> io::Result<Local> {
    Local::open(root, ["eu".to_owned(), "us".to_owned()], Arc::new(FixedIds))
}

/// Of run `run`, for backend workspace `id`.
fn spec(run: u128, id: u128) -> BackendSpec {
    BackendSpec {
        id: Uuid::from_u128(id),
        workspace_id: Uuid::from_u128(2),
        environment_id: Uuid::from_u128(3),
        environment: EnvironmentName::Dev,
        region: "eu".to_owned(),
        run: RunId(Uuid::from_u128(run)),
        key: format!("{}:backend-dev", Uuid::from_u128(run)),
    }
}

impl World {
    async fn create(&self, spec: &BackendSpec) -> Result<String, CallError> {
        self.local.create(spec, &self.stop).await
    }

    async fn drop(&self, spec: &BackendSpec) -> Result<(), CallError> {
        (*self.local).drop(spec, &self.stop).await
    }

    async fn login(&self, spec: &BackendSpec) -> Result<(), CallError> {
        self.local.login(spec, &self.stop).await
    }

    fn path(&self, spec: &BackendSpec) -> PathBuf {
        self.folder.path().join(&spec.region).join(spec.id.to_string())
    }

    /// Every name below the region's folder, hidden ones included.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.folder.path().join("eu")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn existing(&self) -> Vec<Existing> {
        self.local.inventory().unwrap()
    }
}

fn existing(spec: &BackendSpec) -> Existing {
    Existing { region: spec.region.clone(), id: spec.id, mark: mark(spec), login: Login::default() }
}

/// The fault of an answer that says that nothing was changed, nor will be by asking again.
fn refused<T: std::fmt::Debug>(answer: Result<T, CallError>) -> String {
    match answer {
        Err(CallError::Failed(fault)) if !fault.retryable => fault.r#type,
        other => panic!("not refused for good: {other:?}"),
    }
}

#[tokio::test]
async fn a_create_makes_a_private_folder_that_its_own_key_opens() {
    let w = world();
    let spec = spec(1, 0xb0);
    assert_eq!(w.create(&spec).await.unwrap(), format!("eu/{}", spec.id));
    w.login(&spec).await.unwrap();
    assert_eq!(w.existing(), [existing(&spec)]);
    assert_eq!(w.names(), [spec.id.to_string()], "nothing half-built is left beside it");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&w.path(&spec)), 0o700);
    for file in fs::read_dir(w.path(&spec)).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_create_by_the_same_key_finds_what_it_made_before_and_another_run_is_refused() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    let key = fs::read(w.path(&spec).join("key")).unwrap();
    assert_eq!(w.create(&spec).await.unwrap(), format!("eu/{}", spec.id));
    assert_eq!(fs::read(w.path(&spec).join("key")).unwrap(), key, "made once");
    assert_eq!(refused(w.create(&self::spec(2, 0xb0)).await), "name_taken");
    assert_eq!(w.existing(), [existing(&spec)]);
}

#[tokio::test]
async fn a_drop_leaves_only_its_seal_which_refuses_a_late_create_for_good() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    for _ in 0..2 {
        w.drop(&spec).await.unwrap();
        assert_eq!(w.existing(), []);
        assert_eq!(w.names(), [spec.id.to_string()]);
        assert!(w.path(&spec).is_file());
    }
    assert_eq!(refused(w.create(&spec).await), "sealed");
    assert_eq!(refused(w.login(&spec).await), "backend_workspace_missing");
    assert_eq!(w.names(), [spec.id.to_string()]);
}

#[tokio::test]
async fn a_drop_before_any_create_seals_as_well() {
    let w = world();
    w.drop(&spec(1, 0xb0)).await.unwrap();
    assert_eq!(refused(w.create(&spec(1, 0xb0)).await), "sealed");
}

#[tokio::test]
async fn a_drop_takes_nothing_away_that_bears_another_runs_mark() {
    let w = world();
    let theirs = spec(1, 0xb0);
    w.create(&theirs).await.unwrap();
    w.drop(&spec(2, 0xb0)).await.unwrap();
    assert_eq!(w.existing(), [existing(&theirs)]);
    w.login(&theirs).await.unwrap();
}

#[test]
fn a_create_that_was_built_before_the_undo_cannot_be_put_after_it() {
    let w = world();
    let spec = spec(1, 0xb0);
    let late = w.local.place(&spec).unwrap();
    late.build(&mark(&spec), &[7; 32]).unwrap();
    drop_and_seal(&w.local.place(&spec).unwrap(), &mark(&spec)).unwrap();
    assert!(!late.put().unwrap());
    assert_eq!(w.names(), [spec.id.to_string()], "what was built is gone");
    assert_eq!(w.existing(), []);
}

#[test]
fn a_create_that_comes_between_the_steps_of_an_undo_is_taken_away_too() {
    let w = world();
    let spec = spec(1, 0xb0);
    create(&w.local.place(&spec).unwrap(), &mark(&spec), &[7; 32]).unwrap();
    let late = w.local.place(&spec).unwrap();
    late.build(&mark(&spec), &[8; 32]).unwrap();
    let undo = w.local.place(&spec).unwrap();
    assert!(!drop_a_step(&undo, &mark(&spec)).unwrap(), "the folder is taken away, the name is free");
    assert!(late.put().unwrap());
    assert_eq!(w.existing().len(), 1);
    drop_and_seal(&undo, &mark(&spec)).unwrap();
    assert_eq!(w.existing(), []);
    assert_eq!(w.names(), [spec.id.to_string()]);
}

#[test]
fn of_two_creates_at_once_the_second_finds_the_first_ones_work() {
    let w = world();
    let spec = spec(1, 0xb0);
    let (first, second) = (w.local.place(&spec).unwrap(), w.local.place(&spec).unwrap());
    first.build(&mark(&spec), &[7; 32]).unwrap();
    second.build(&mark(&spec), &[8; 32]).unwrap();
    assert!(first.put().unwrap());
    assert!(!second.put().unwrap());
    create(&second, &mark(&spec), &[8; 32]).unwrap();
    login(&first).unwrap();
    assert_eq!(w.names(), [spec.id.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn creates_and_drops_at_once_end_in_a_seal_and_nothing_else() {
    let w = world();
    for round in 0..20 {
        let spec = spec(1, 0xb0 + round);
        let calls: Vec<_> = (0..12)
            .map(|i| {
                let (local, spec, stop) = (w.local.clone(), spec.clone(), w.stop.clone());
                tokio::spawn(async move {
                    if i % 3 == 2 { (*local).drop(&spec, &stop).await } else { local.create(&spec, &stop).await.map(drop) }
                })
            })
            .collect();
        for call in calls {
            match call.await.unwrap() {
                Ok(()) | Err(CallError::Unknown(_)) => {}
                Err(CallError::Failed(fault)) => assert_eq!(fault.r#type, "sealed"),
                Err(refused) => panic!("{refused:?}"),
            }
        }
        w.drop(&spec).await.unwrap();
        assert!(w.path(&spec).is_file());
    }
    assert_eq!(w.existing(), []);
    assert!(w.names().iter().all(|n| !n.starts_with('.')), "{:?}", w.names());
}

#[tokio::test]
async fn a_login_needs_the_very_key_that_the_database_was_made_with() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    let (key, database) = (w.path(&spec).join("key"), w.path(&spec).join("workspace.db"));
    let (whole_key, whole_database) = (fs::read(&key).unwrap(), fs::read(&database).unwrap());
    fs::write(&key, "00".repeat(32)).unwrap();
    assert_eq!(refused(w.login(&spec).await), "login_refused");
    fs::write(&key, "no key at all").unwrap();
    assert_eq!(refused(w.login(&spec).await), "login_refused");
    fs::write(&key, &whole_key).unwrap();
    for i in 0..whole_database.len() {
        let mut altered = whole_database.clone();
        altered[i] ^= 1;
        fs::write(&database, altered).unwrap();
        assert_eq!(refused(w.login(&spec).await), "login_refused", "byte {i}");
    }
    fs::write(&database, &whole_database[..10]).unwrap();
    assert_eq!(refused(w.login(&spec).await), "login_refused");
    fs::write(&database, whole_database).unwrap();
    w.login(&spec).await.unwrap();
}

#[tokio::test]
async fn opening_sweeps_what_dead_processes_left_and_nothing_else() {
    let w = world();
    let (kept, sealed) = (spec(1, 0xb0), spec(1, 0xb1));
    w.create(&kept).await.unwrap();
    w.drop(&sealed).await.unwrap();
    // A create that died before its folder was put, and a drop that died before the folder was gone.
    w.local.place(&spec(1, 0xb2)).unwrap().build(&mark(&spec(1, 0xb2)), &[7; 32]).unwrap();
    w.create(&spec(1, 0xb3)).await.unwrap();
    drop_a_step(&w.local.place(&spec(1, 0xb3)).unwrap(), &mark(&spec(1, 0xb3))).unwrap();
    assert_eq!(w.names().iter().filter(|n| n.starts_with('.')).count(), 2);
    let World { folder, local, .. } = w;
    drop(local);
    let w = World { local: Arc::new(open(folder.path()).unwrap()), folder, stop: CancellationToken::new() };
    assert_eq!(w.names(), [kept.id.to_string(), sealed.id.to_string()]);
    assert_eq!(w.existing(), [existing(&kept)]);
    assert_eq!(inventory(w.folder.path()).unwrap(), [existing(&kept)]);
}

/// A process that starts must not take away what another one is building at that moment.
#[tokio::test]
async fn opening_leaves_alone_what_a_process_that_lives_is_building() {
    let w = world();
    let (first, second) = (spec(1, 0xb0), spec(1, 0xb1));
    let building = w.local.place(&first).unwrap();
    building.build(&mark(&first), &[7; 32]).unwrap();
    let other = open(w.folder.path()).unwrap();
    let too = other.place(&second).unwrap();
    too.build(&mark(&second), &[8; 32]).unwrap();
    drop(open(w.folder.path()).unwrap());
    assert!(building.put().unwrap() && too.put().unwrap());
    assert_eq!(w.existing(), [existing(&first), existing(&second)]);
    let processes = fs::read_dir(w.folder.path().join(".processes")).unwrap().count();
    assert_eq!(processes, 3, "one that has gone is forgotten by the next that comes");
    drop(open(w.folder.path()).unwrap());
    assert_eq!(fs::read_dir(w.folder.path().join(".processes")).unwrap().count(), 3);
}

/// Two processes build one backend workspace at once, as when a worker that was taken for dead goes on.
#[tokio::test]
async fn of_two_processes_that_create_the_same_the_second_finds_the_first_ones_work() {
    let w = world();
    let other = open(w.folder.path()).unwrap();
    let spec = spec(1, 0xb0);
    let (here, there) = (w.local.place(&spec).unwrap(), other.place(&spec).unwrap());
    here.build(&mark(&spec), &[7; 32]).unwrap();
    there.build(&mark(&spec), &[8; 32]).unwrap();
    assert!(there.put().unwrap());
    assert!(!here.put().unwrap());
    create(&here, &mark(&spec), &[7; 32]).unwrap();
    login(&here).unwrap();
    assert_eq!(w.names(), [spec.id.to_string()]);
}

#[tokio::test]
async fn a_drop_removes_what_an_earlier_one_moved_away_and_could_not_remove() {
    let w = world();
    let spec = spec(1, 0xb0);
    w.create(&spec).await.unwrap();
    drop_a_step(&w.local.place(&spec).unwrap(), &mark(&spec)).unwrap();
    w.drop(&spec).await.unwrap();
    assert_eq!(w.names(), [spec.id.to_string()]);
}

#[tokio::test]
async fn a_folder_without_a_mark_that_can_be_read_is_neither_used_nor_removed() {
    let w = world();
    let spec = spec(1, 0xb0);
    fs::create_dir(w.path(&spec)).unwrap();
    for content in [None, Some("not a mark")] {
        if let Some(text) = content {
            fs::write(w.path(&spec).join("mark"), text).unwrap();
        }
        assert_eq!(refused(w.create(&spec).await), "backend_corrupt");
        assert_eq!(refused(w.drop(&spec).await), "backend_corrupt");
        assert!(w.path(&spec).is_dir());
        assert!(w.local.inventory().is_err());
    }
}

#[tokio::test]
async fn what_the_file_system_refuses_is_worth_another_try_and_leaves_nothing() {
    let w = world();
    let spec = spec(1, 0xb0);
    // A region whose folder has become a file: works for root as well, whom no permission stops.
    fs::remove_dir(w.folder.path().join("eu")).unwrap();
    fs::write(w.folder.path().join("eu"), "").unwrap();
    assert!(matches!(w.create(&spec).await, Err(CallError::Failed(f)) if f.retryable));
    assert!(matches!(w.drop(&spec).await, Err(CallError::Unknown(f)) if f.retryable));
    fs::remove_file(w.folder.path().join("eu")).unwrap();
    fs::create_dir(w.folder.path().join("eu")).unwrap();
    w.create(&spec).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_told_to_stop_before_it_began_does_nothing() {
    let w = world();
    w.stop.cancel();
    for answer in [w.create(&spec(1, 0xb0)).await.map(drop), w.drop(&spec(1, 0xb0)).await] {
        assert!(matches!(answer, Err(CallError::Failed(f)) if f.retryable && f.r#type == "stopped"));
    }
    assert_eq!(w.names(), [""; 0]);
}

#[tokio::test]
async fn a_region_that_is_not_configured_is_refused() {
    let w = world();
    let spec = BackendSpec { region: "../eu".to_owned(), ..spec(1, 0xb0) };
    assert_eq!(w.local.name(&spec.region), None);
    assert_eq!(refused(w.create(&spec).await), "region_not_configured");
    assert_eq!(w.local.name("us").as_deref(), Some("local"));
    for name in ["", "EU", "../eu", "a/b", "."] {
        let opened = Local::open(w.folder.path(), [name.to_owned()], Arc::new(FixedIds));
        assert_eq!(opened.err().map(|e| e.kind()), Some(io::ErrorKind::InvalidInput), "{name}");
    }
}
