//! Retries a run that has ended: a new run for the same workspace or account, with new ids for all that it makes.
//!
//! The ids must be new, because the old run has sealed its own: a late call of it can no longer make them.

use saga::{RunId, Verb};
use serde_json::Value;

use super::new_run::NewRunOf;
use super::{NOT_FOUND, Requested};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::model::ProvisioningRun;
use crate::ports::{NewRun, RetryAnswer, RetryRun};
use crate::steps::input::{CreateAccountInput, CreateWorkspaceInput};
use crate::workspaces::create::environments;
use crate::{Berth, Caller, Error, accounts, workspaces};

pub(super) async fn start(
    berth: &Berth,
    caller: &Caller,
    old: &ProvisioningRun,
    comment: Option<&str>,
    replay: Option<Replay<Requested>>,
) -> Result<Reply<Requested>, Error> {
    let run = new_run(berth, caller, old)?;
    let requested = Requested { run_id: run.id, verb: Verb::Retry, new_run: true };
    let audit = Draft::of(caller, &*berth.ids, old.account_id, old.workspace_id, "run.retry")
        .target("run", old.id.0)
        .target("run", run.id.0)
        .run(run.id)
        .reason(&*berth.ids, comment);
    let idempotency = replay.map(|replay| replay.keep(caller, old.account_id, &requested));
    match berth.runs.retry(RetryRun { run, audit, idempotency }).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(RetryAnswer::Created) => {
            berth.wake.new_run();
            Ok(Reply::Fresh(requested))
        }
        Reply::Fresh(refusal) => Err(refused(refusal)),
    }
}

fn new_run(berth: &Berth, caller: &Caller, old: &ProvisioningRun) -> Result<NewRun, Error> {
    let new = |saga| NewRunOf {
        id: RunId(berth.ids.within(old.account_id)),
        saga,
        account_id: old.account_id,
        workspace_id: old.workspace_id,
        retry_of: Some(old.id),
        exclusive: true,
        on_failure: old.on_failure,
    };
    let saga = old.definition.name.as_str();
    match saga {
        workspaces::create::SAGA => {
            let mut input: CreateWorkspaceInput = read(saga, &old.input)?;
            input.environments = environments(berth, old.account_id);
            Ok(new(workspaces::create::SAGA).with(berth, caller, &input))
        }
        accounts::SAGA => Ok(new(accounts::SAGA).with(berth, caller, &read::<CreateAccountInput>(saga, &old.input)?)),
        _ => Err(Error::VerbConflict { detail: format!("Runs of the saga `{saga}` are not retried once they have ended.") }),
    }
}

fn read<T: serde::de::DeserializeOwned>(saga: &str, input: &Value) -> Result<T, Error> {
    T::deserialize(input).map_err(|e| Error::VerbConflict {
        detail: format!("The run was made by a version of Berth whose `{saga}` this one cannot start again ({e})."),
    })
}

fn refused(answer: RetryAnswer) -> Error {
    match answer {
        RetryAnswer::Created => unreachable!("a created run is no refusal"),
        RetryAnswer::Forgotten => NOT_FOUND,
        RetryAnswer::RetriedAlready { by } => Error::VerbConflict { detail: format!("The run was retried already, as run {by}.") },
        RetryAnswer::Frozen(freezes) => Error::Frozen { freezes },
        RetryAnswer::RunInProgress { run } => Error::RunInProgress { run },
        RetryAnswer::NotFailed { status } => {
            Error::VerbConflict { detail: format!("What the run was to make is {status}, not failed; there is nothing to retry.") }
        }
        RetryAnswer::SlugTaken { slug } => Error::SlugTaken { slug },
        RetryAnswer::QuotaExceeded { max } => Error::QuotaExceeded { max },
        RetryAnswer::AccountNotActive { status: Some(status) } => Error::AccountNotActive { status: status.as_str() },
        RetryAnswer::AccountNotActive { status: None } => Error::NotFound { what: "account" },
    }
}
