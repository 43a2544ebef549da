//! Freezes and unfreezes a workspace: who may, with what, and what is in force afterwards.

use saga::ports::OnFailure;
use saga::{RunId, Time};
use uuid::Uuid;

use super::{ON_REQUEST, SAGA};
use crate::access::{Ground, Right};
use crate::audit::Draft;
use crate::model::{FreezeMode, FreezeSource, Workspace};
use crate::names::{parse_comment, parse_word};
use crate::ports::{ChangeFreezes, FreezeAnswer, FreezeChange, IfMatch, Shut};
use crate::runs::new_run::NewRunOf;
use crate::steps::input::{ApplyFreezesInput, CreateWorkspaceInput};
use crate::workspaces::read::find;
use crate::{Berth, Caller, Error, Invalid};

/// The status that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Frozen,
    Active,
}

/// As the caller asked; nothing is checked yet but the words.
#[derive(Debug, Clone)]
pub struct Request {
    pub wanted: Wanted,
    pub source: Option<FreezeSource>,
    pub sources: Option<Vec<FreezeSource>>,
    pub mode: Option<FreezeMode>,
    /// Code and note.
    pub reason: Option<(String, Option<String>)>,
    pub expires_at: Option<Time>,
}

/// What is in force, and how far it is carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub workspace: Workspace,
    /// The latest run that carries the freezes to the backends; `None` if there has been no freeze yet.
    pub run: Option<RunId>,
    pub children: Vec<Child>,
}

/// Something that a freeze is carried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    pub kind: ChildKind,
    /// Of the backend workspace.
    pub id: Option<Uuid>,
    /// It has been brought to the set in force.
    pub applied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildKind {
    BackendWorkspace,
    Tokens,
}

impl Request {
    /// What is to be changed, once it is known to be right. All that is wrong is said at once.
    fn parse(self) -> Result<FreezeChange, Error> {
        let mut invalid = Vec::new();
        let change = match self.wanted {
            Wanted::Frozen => self.freeze(&mut invalid),
            Wanted::Active => self.unfreeze(&mut invalid),
        };
        if invalid.is_empty() { Ok(change) } else { Err(Error::Invalid(invalid)) }
    }

    fn freeze(self, invalid: &mut Vec<Invalid>) -> FreezeChange {
        if self.sources.is_some() {
            invalid.push(Invalid::new("/sources", "`sources` goes with `active`; a freeze has one `source`."));
        }
        let source = self.source.unwrap_or(FreezeSource::AccountAdmin);
        if !ON_REQUEST.contains(&source) {
            invalid.push(Invalid::new("/source", format!("A freeze of `{}` is set by deleting the workspace.", source.as_str())));
        }
        if self.reason.is_none() {
            invalid.push(Invalid::new("/reason", "A freeze says why: give a `reason` with a `code`."));
        }
        let (code, note) = self.reason.unzip();
        let mut kept = |parsed: Result<String, Vec<Invalid>>| parsed.map_err(|wrong| invalid.extend(wrong)).ok();
        FreezeChange::Freeze {
            source,
            mode: self.mode.unwrap_or(FreezeMode::ReadOnly),
            code: code.and_then(|code| kept(parse_word("/reason/code", &code))).unwrap_or_default(),
            note: note.flatten().and_then(|note| kept(parse_comment("/reason/note", &note))),
            expires_at: self.expires_at,
        }
    }

    fn unfreeze(self, invalid: &mut Vec<Invalid>) -> FreezeChange {
        let given = [
            (self.source.is_some(), "/source"),
            (self.mode.is_some(), "/mode"),
            (self.reason.is_some(), "/reason"),
            (self.expires_at.is_some(), "/expires_at"),
        ];
        for (_, pointer) in given.into_iter().filter(|(given, _)| *given) {
            invalid.push(Invalid::new(pointer, "Goes with `frozen`. Leave it out; what is lifted stands in `sources`."));
        }
        let mut sources = self.sources.unwrap_or_else(|| vec![FreezeSource::AccountAdmin]);
        if sources.is_empty() {
            invalid.push(Invalid::new("/sources", "Name at least one source, or leave it out for `account_admin`."));
        }
        sources.sort_unstable();
        sources.dedup();
        for source in sources.iter().filter(|source| !ON_REQUEST.contains(source)) {
            invalid.push(Invalid::new("/sources", format!("A freeze of `{}` is lifted by restoring the workspace.", source.as_str())));
        }
        FreezeChange::Unfreeze { sources }
    }
}

/// Sets or lifts freezes. With the answer the gate is as it says: whoever asks for a change from now on meets it.
///
/// # Errors
/// `NotFound`, `Forbidden` (`administer` for the account admin's own freeze, `platform#administer` for all others),
/// [`Error::Invalid`], [`Error::PreconditionFailed`], [`Error::InvalidTransition`], an outage.
pub async fn change(berth: &Berth, caller: &Caller, id: Uuid, request: Request, if_match: Option<IfMatch>) -> Result<View, Error> {
    let workspace = find(berth, id).await?;
    let ground = Ground::workspace(berth, &workspace).await?;
    let named = request.sources.iter().flatten().chain(&request.source).copied();
    authorize(berth, caller, &ground, named.collect()).await?;
    let change = request.parse()?;
    let account = workspace.account_id;
    let input = ApplyFreezesInput { workspace_id: id, account_id: account };
    let run = NewRunOf {
        id: RunId(berth.ids.within(account)),
        saga: SAGA,
        account_id: account,
        workspace_id: Some(id),
        retry_of: None,
        exclusive: false,
        on_failure: OnFailure::Rollback,
    }
    .with(berth, caller, &input);
    let note = if let FreezeChange::Freeze { note, .. } = &change { note.as_deref() } else { None };
    let transition = change.transition();
    let audit = Draft::of(caller, &*berth.ids, account, Some(id), &format!("workspace.{}", transition.as_str()))
        .target("workspace", id)
        .reason(&*berth.ids, note);
    let new = ChangeFreezes { workspace_id: id, change, if_match, by: caller.principal, run, audit };
    match berth.freezes.change(new).await? {
        FreezeAnswer::Done(shut) => {
            if shut.changed {
                berth.wake.wake();
            }
            view(berth, *shut).await
        }
        FreezeAnswer::OtherRevision { revision } => Err(Error::PreconditionFailed { revision }),
        FreezeAnswer::NotAllowed { status } => Err(transition.refused(status)),
        FreezeAnswer::ExpiresOutOfRange { now } => {
            Err(Error::invalid("/expires_at", format!("A freeze expires after now, which is {now}, and within ten years.")))
        }
    }
}

/// Nobody lifts what he could not set.
async fn authorize(berth: &Berth, caller: &Caller, ground: &Ground, sources: Vec<FreezeSource>) -> Result<(), Error> {
    if sources.is_empty() || sources.contains(&FreezeSource::AccountAdmin) {
        ground.require_action(berth, caller).await?;
    }
    if sources.iter().any(|source| *source != FreezeSource::AccountAdmin) {
        ground.require(berth, caller, &Right::on_platform("administer")).await?;
    }
    Ok(())
}

/// The backend workspaces are those that the workspace's run makes, whether or not it has come to them.
async fn view(berth: &Berth, shut: Shut) -> Result<View, Error> {
    let workspace = shut.workspace;
    let is_applied = workspace.freeze_applied >= workspace.freeze_revision;
    let made_by = berth.runs.get(workspace.made_by).await?;
    let input = made_by.and_then(|detail| serde_json::from_value::<CreateWorkspaceInput>(detail.run.input).ok());
    let backends = match input {
        Some(input) => input.environments.iter().map(|environment| environment.backend_workspace_id).collect(),
        None => shut.backends.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
    };
    let mut children: Vec<Child> = backends
        .into_iter()
        .map(|id| {
            let revision = shut.backends.iter().find(|(known, _)| *known == id).map(|(_, revision)| *revision);
            let applied = revision.map_or(is_applied, |revision| revision >= workspace.freeze_revision);
            Child { kind: ChildKind::BackendWorkspace, id: Some(id), applied }
        })
        .collect();
    children.push(Child { kind: ChildKind::Tokens, id: None, applied: is_applied });
    Ok(View { workspace, run: shut.run, children })
}
