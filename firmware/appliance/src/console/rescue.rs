//! The rescue console: what answers a console's questions when PID 1 starts no director any more. It needs the disk and
//! nothing else: no network, no configuration that can be read, not even a partition for one.
//!
//! It speaks the director's protocol, so the commands are the usual ones. A commit only writes to the flash, and runs after
//! the next reboot. Nobody else writes to the flash meanwhile: PID 1 says so by a file in `/run`.

use crate::init::phases::read_options;
use crate::platform::clock;
use crate::platform::flash::{self, Flash};
use crate::platform::upgrade::slot_number;
use director_core::director::impact::Impact;
use director_core::director::protocol::{
    CommitOptions, Maintenance, Power, Recall, Recalled, Reply, Request, SystemsNow,
};
use director_core::director::status::{SlotStatus, Status, SystemStatus};
use director_core::director::upgrading::{Progress, UpgradeAsk};
use director_core::init::Ask;
use director_core::model::Config;
use director_core::model::validate::{Severity, validate};
use director_core::store::record::SlotState;
use director_core::store::{Commit, Generation, StoreError, blob, identity, rescue, slots, superblock};
use director_core::upgrade::environment;
use director_core::upgrade::install::{Installer, plan};
use director_core::upgrade::running::Running;
use director_core::upgrade::trust;
use std::path::PathBuf;

/// Why most commands are refused.
const NOT_HERE: &str = "the director does not run: this is the rescue console";
/// The data partition's number.
const DATA: u32 = 4;

/// The disk, and an upgrade that is being sent.
#[derive(Debug)]
pub(super) struct Rescue {
    /// The configuration's partition, when it can be used.
    data: Option<Flash>,
    /// A partition of our disk.
    disk: Option<PathBuf>,
    running: Option<Running>,
    newest: Generation,
    upload: Option<Upload>,
    progress: Progress,
}

#[derive(Debug)]
struct Upload {
    installer: Option<Installer>,
    slot: Flash,
    length: u64,
    sha256: [u8; 32],
}

impl Rescue {
    /// Looks for the disk.
    pub(super) fn open() -> Self {
        let found = flash::find();
        let mut data = found.as_ref().and_then(|path| Flash::open(path).ok());
        let newest = data.as_mut().map(|data| slots::load(data).newest).unwrap_or_default();
        Self {
            data,
            disk: found.or_else(flash::find_boot),
            running: read_options().ok().and_then(|options| options.running),
            newest,
            upload: None,
            progress: Progress::Idle,
        }
    }

    /// Answers a question, and says what PID 1 is to be asked then.
    pub(super) fn answer(&mut self, request: Request) -> (Reply, Option<Ask>) {
        let reboot = Some(Ask::Power(Power::Reboot));
        let reply = match request {
            Request::Status | Request::BoxStatus => Reply::Status(self.status()),
            // Not the stored one: nobody had to log in.
            Request::Config => Reply::Config { generation: self.newest, config: Config::default() },
            Request::Check(config) => {
                Reply::Checked { findings: validate(&config), ops: Vec::new(), impact: Impact::default() }
            }
            Request::Commit { config, options, .. } => self.commit(config, options),
            Request::Recall(what) => Reply::Recalled { running: self.newest, result: self.recall(what) },
            Request::Maintain(Maintenance::FactoryReset) => match self.reset() {
                Ok(()) => {
                    let text = "this box is in factory state; rebooting".to_owned();
                    return (Reply::Done { text }, reboot);
                }
                Err(error) => refused(error.to_string()),
            },
            Request::Maintain(Maintenance::RescueDelete) => match self.data.as_mut().map(rescue::delete) {
                Some(Ok(())) => Reply::Done { text: "there is no rescue configuration any more".to_owned() },
                Some(Err(error)) => refused(error.to_string()),
                None => refused(StoreError::NoDevice.to_string()),
            },
            Request::Maintain(Maintenance::Identity(role)) => {
                match self.data.as_mut().map(|data| identity::assign(data, role)) {
                    Some(Ok(())) => {
                        let text = format!("this box is the {role} node; rebooting");
                        return (Reply::Done { text }, reboot);
                    }
                    Some(Err(error)) => refused(error.to_string()),
                    None => refused(StoreError::NoDevice.to_string()),
                }
            }
            Request::Upgrade(UpgradeAsk::Boot) => match self.boot_other() {
                Ok(version) => {
                    let text = format!("version {version} in the other slot gets a trial; rebooting");
                    return (Reply::Done { text }, reboot);
                }
                Err(error) => refused(error.to_string()),
            },
            Request::Upgrade(ask) => self.upgrade(ask),
            Request::Power(power) => return (Reply::Stopping, Some(Ask::Power(power))),
            Request::Maintain(Maintenance::RescueSave)
            | Request::Checks
            | Request::Doctor { .. }
            | Request::Why { .. }
            | Request::Ping(_)
            | Request::Confirm
            | Request::Server(_)
            | Request::Cluster(_) => refused(NOT_HERE),
        };
        (reply, None)
    }

    fn status(&mut self) -> Status {
        let at = clock::now();
        let identity = self.data.as_mut().map(|data| identity::load(data).identity).unwrap_or_default();
        let mut alarms =
            vec!["RESCUE: the director keeps dying and is not started; show log says why".to_owned()];
        if self.data.is_none() {
            alarms.push(
                "the configuration's partition cannot be used: factory-reset makes a new one".to_owned(),
            );
        }
        Status {
            at,
            time: Default::default(),
            unix_s: clock::unix_s(),
            system: SystemStatus {
                identity: identity.role,
                active: false,
                hostname: None,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                slot: self.running.map(|running| SlotStatus { running, proven: false }),
                generation: self.newest,
                trial: None,
                source: "nothing runs".to_owned(),
                started: at,
                boots: identity.boots,
                operations: 0,
                last_plan: 0,
                last_plan_took: Default::default(),
                last_dump_took: Default::default(),
                reconciled: None,
            },
            cluster: None,
            interfaces: Vec::new(),
            addresses: Vec::new(),
            services: Vec::new(),
            servers: Vec::new(),
            ipvs: Vec::new(),
            timeouts: None,
            daemons: Vec::new(),
            notes: Vec::new(),
            alarms,
        }
    }

    fn commit(&mut self, config: Config, options: CommitOptions) -> Reply {
        let findings = validate(&config);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Reply::Refused { reason: "the configuration has errors".to_owned(), findings };
        }
        let Some(data) = &mut self.data else { return refused(StoreError::NoDevice.to_string()) };
        let generation = Generation(self.newest.0.saturating_add(1));
        let payload = blob::encode(&Commit { at_unix_s: clock::unix_s(), comment: options.comment, config });
        match slots::save(data, generation, SlotState::Good, &payload) {
            Ok(()) => {
                self.newest = generation;
                Reply::Committed { generation, operations: 0, findings }
            }
            Err(error) => refused(error.to_string()),
        }
    }

    fn recall(&mut self, what: Recall) -> Result<Recalled, StoreError> {
        if what == Recall::Systems {
            let disk = self.disk.as_ref().ok_or(StoreError::NoDevice)?;
            let running = self.running.map(|running| SlotStatus { running, proven: false });
            let now = SystemsNow { running, progress: self.progress.clone(), ..SystemsNow::default() };
            return Ok(Recalled::Systems(Box::new(flash::systems(disk)), now));
        }
        let data = self.data.as_mut().ok_or(StoreError::NoDevice)?;
        flash::recall(data, what, self.newest)
    }

    /// Wipes the configuration, or makes its partition anew when it is not recognised.
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(data) = &mut self.data {
            return flash::factory_reset(data);
        }
        let disk = self.disk.as_ref().ok_or(StoreError::NoDevice)?;
        let mut data = flash::beside(disk, DATA)?;
        // The old commits lie there still, and would run again once the partition is recognised: so that comes last.
        flash::factory_reset(&mut data)?;
        superblock::write(&mut data)
    }

    fn other(&self) -> Result<(PathBuf, director_core::upgrade::environment::Slot), StoreError> {
        let disk = self.disk.clone().ok_or(StoreError::NoDevice)?;
        let running = self.running.ok_or(StoreError::NoDevice)?;
        Ok((disk, running.slot.other()))
    }

    fn boot_other(&self) -> Result<String, StoreError> {
        let (disk, slot) = self.other()?;
        plan(&mut flash::beside(&disk, slot_number(slot))?, &mut flash::beside(&disk, flash::BOOT)?, slot)
    }

    fn upgrade(&mut self, ask: UpgradeAsk) -> Reply {
        match self.try_upgrade(ask) {
            Ok(reply) => reply,
            Err(why) => {
                self.upload = None;
                self.progress = Progress::Failed { why: why.clone() };
                refused(why)
            }
        }
    }

    fn try_upgrade(&mut self, ask: UpgradeAsk) -> Result<Reply, String> {
        let have = |upload: &Upload| upload.installer.as_ref().map_or(upload.length, |i| i.progress().0);
        match ask {
            UpgradeAsk::Offer { length, sha256 } => {
                if let Some(upload) =
                    self.upload.as_ref().filter(|u| (u.length, u.sha256) == (length, sha256))
                {
                    return Ok(Reply::Have(have(upload)));
                }
                let (disk, slot) = self.other().map_err(|error| error.to_string())?;
                let slot = flash::beside(&disk, slot_number(slot)).map_err(|error| error.to_string())?;
                let running = env!("CARGO_PKG_VERSION")
                    .parse()
                    .map_err(|()| "this version has no number".to_owned())?;
                let installer = Some(Installer::new(trust::rules(running)));
                self.upload = Some(Upload { installer, slot, length, sha256 });
                Ok(Reply::Have(0))
            }
            UpgradeAsk::Block { offset, bytes } => {
                let upload = self.upload.as_mut().ok_or("no upgrade is being sent: begin again")?;
                if let Some(installer) = upload.installer.as_mut().filter(|i| i.progress().0 == offset) {
                    installer.feed(&mut upload.slot, &bytes).map_err(|refused| refused.to_string())?;
                }
                Ok(Reply::Have(have(upload)))
            }
            UpgradeAsk::End { sha256 } => {
                let upload = self.upload.as_mut().filter(|upload| upload.sha256 == sha256);
                let upload = upload.ok_or("no upgrade is being sent: begin again")?;
                if have(upload) < upload.length {
                    return Ok(Reply::Have(have(upload)));
                }
                if let Some(installer) = upload.installer.take() {
                    let front = installer.finish(&mut upload.slot).map_err(|refused| refused.to_string())?;
                    self.progress = Progress::Ready { version: front.version.to_string() };
                }
                Ok(Reply::Done { text: "it is in the other slot".to_owned() })
            }
            UpgradeAsk::Cancel => {
                self.upload = None;
                let disk = self.disk.as_ref().ok_or("there is no disk of this firmware")?;
                let mut boot = flash::beside(disk, flash::BOOT).map_err(|error| error.to_string())?;
                environment::give_up(&mut boot).map_err(|error| error.to_string())?;
                Ok(Reply::Done { text: "no trial is planned".to_owned() })
            }
            UpgradeAsk::From(_) => {
                Err("the rescue console has no network: send it over this line (make provision)".to_owned())
            }
            UpgradeAsk::Confirm | UpgradeAsk::Boot | UpgradeAsk::Cluster => Err(NOT_HERE.to_owned()),
        }
    }
}

fn refused(reason: impl Into<String>) -> Reply {
    Reply::Refused { reason: reason.into(), findings: Vec::new() }
}
