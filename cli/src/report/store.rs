//! Where reports are kept: `reports/<environment>/<id>/`, and those that were published below `reports/published/`.
//!
//! `SHA256SUMS` is written last. A folder without it belongs to a run that did not end, or is still going on.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::document::{ReadReportError, Report};
use super::manifest::Manifest;
use super::model::LoadReport;
use super::samples::{ReadSamplesError, Samples};
use crate::drill::report::DrillReport;

/// The folder of reports beside which shopctl was started.
pub const FOLDER: &str = "reports";
/// The folder in it of the reports that are kept in the repository.
pub const PUBLISHED: &str = "published";
/// The report itself.
pub(super) const REPORT: &str = "report.json";
/// The report as a page.
pub(super) const PAGE: &str = "report.html";
/// The report in short.
pub(super) const MARKDOWN: &str = "report.md";
/// The raw samples of a load test.
pub const SAMPLES: &str = "samples.jsonl.zst";
/// The sums of all the others.
pub const SUMS: &str = "SHA256SUMS";
/// What was left out of a published report.
pub const LEFT_OUT: &str = "LEFT_OUT";

/// The largest file of a report that is read: what is larger was not written by us.
const MOST_BYTES: u64 = 256 << 20;

/// Why reports cannot be found, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A folder or file cannot be written.
    #[error("failed to write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder or file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A report does not have the form of one.
    #[error("failed to read {path}")]
    Report {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadReportError,
    },
    /// The raw samples cannot be read.
    #[error("failed to read {path}")]
    Samples {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadSamplesError,
    },
    /// A report's run did not come to its end.
    #[error("there is no finished report in {path}")]
    Unfinished {
        /// Which folder.
        path: PathBuf,
    },
    /// There is no such report.
    #[error("there is no report `{wanted}` in {root}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Where.
        root: PathBuf,
    },
    /// There is no report at all.
    #[error("there are no reports in {root}")]
    Empty {
        /// Where.
        root: PathBuf,
    },
    /// More than one report has this name.
    #[error("there is more than one report `{wanted}`")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The folders.
        paths: Vec<PathBuf>,
    },
    /// The report cannot be shown.
    #[error("failed to make the page of a report: {0}")]
    Render(String),
}

/// The folder of all reports.
#[derive(Clone, Debug)]
pub struct Reports {
    root: PathBuf,
}

impl Reports {
    /// The reports in a folder; it need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder of a report that is about to be measured, and tries whether it can be written to.
    ///
    /// When there is a report of this name already, the new one gets another: ask [`Draft::id`].
    pub fn begin(&self, environment: &str, id: &str) -> Result<Draft, StoreError> {
        let parent = self.root.join(environment);
        fs::create_dir_all(&parent).map_err(|source| StoreError::Write {
            path: parent.clone(),
            source,
        })?;
        let mut number = 1;
        loop {
            let id = if number == 1 {
                id.to_owned()
            } else {
                format!("{id}-{number}")
            };
            let path = parent.join(&id);
            match fs::create_dir(&path) {
                Ok(()) => {
                    let draft = Draft { path, id };
                    let probe = draft.path.join("writable");
                    let tried = draft.write("writable", b"?").and_then(|()| {
                        fs::remove_file(&probe).map_err(|source| StoreError::Write {
                            path: probe.clone(),
                            source,
                        })
                    });
                    if let Err(error) = tried {
                        // Nothing was measured, so nothing is kept.
                        let _ = fs::remove_dir_all(&draft.path);
                        return Err(error);
                    }
                    return Ok(draft);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(source) => return Err(StoreError::Write { path, source }),
            }
        }
    }
}

/// The folder of a report that is being made. Whoever makes it may put files of its own there.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    id: String,
}

impl Draft {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The report's name, which is the folder's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write(&self.path.join(name), bytes)
    }

    /// Writes the report of a load test in all its forms, and at last the sums of everything in the folder.
    pub fn finish_load(self, report: &LoadReport, samples: &Samples) -> Result<Folder, StoreError> {
        let mut raw = Vec::new();
        let path = self.path.join(SAMPLES);
        samples
            .write(&mut raw)
            .map_err(|source| StoreError::Write {
                path: path.clone(),
                source,
            })?;
        write(&path, &raw)?;
        self.finish(&Report::Load(Box::new(report.clone())))
    }

    /// Writes the report of drills in all its forms, and at last the sums of everything in the folder. The histories
    /// are there already.
    pub fn finish_drill(self, report: &DrillReport) -> Result<Folder, StoreError> {
        self.finish(&Report::Drill(Box::new(report.clone())))
    }

    fn finish(self, report: &Report) -> Result<Folder, StoreError> {
        let path = self.path.join(REPORT);
        let json = report.to_json().map_err(|error| StoreError::Write {
            path: path.clone(),
            source: error.into(),
        })?;
        write(&path, json.as_bytes())?;
        write(
            &self.path.join(MARKDOWN),
            super::markdown::markdown(report).as_bytes(),
        )?;
        write(&self.path.join(PAGE), super::html::page(report)?.as_bytes())?;
        let folder = Folder { path: self.path };
        let mut manifest = Manifest::default();
        for name in folder.files()? {
            manifest.add(&name, &folder.read(&name)?);
        }
        folder.seal(&manifest)?;
        Ok(folder)
    }
}

/// The folder of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A folder.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The page.
    pub fn page(&self) -> PathBuf {
        self.path.join(PAGE)
    }

    /// Its files but the sums, in the order of names.
    pub fn files(&self) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::Read {
            path: self.path.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if ![SUMS, LEFT_OUT].contains(&name.as_str())
                && entry.file_type().map_err(failed)?.is_file()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path.join(name);
        let read = || {
            let length = fs::metadata(&path)?.len();
            if length > MOST_BYTES {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "the file is too large",
                ));
            }
            fs::read(&path)
        };
        read().map_err(|source| StoreError::Read {
            path: path.clone(),
            source,
        })
    }

    /// Reads a file that need not be there.
    pub fn read_if_there(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the report.
    pub fn report(&self) -> Result<Report, StoreError> {
        if !self.path.join(SUMS).exists() && self.path.is_dir() {
            return Err(StoreError::Unfinished {
                path: self.path.clone(),
            });
        }
        let text = self.read(REPORT)?;
        Report::read(&text).map_err(|source| StoreError::Report {
            path: self.path.join(REPORT),
            source,
        })
    }

    /// Reads the raw samples; `None`: they are not there.
    pub fn samples(&self) -> Result<Option<Samples>, StoreError> {
        let Some(bytes) = self.read_if_there(SAMPLES)? else {
            return Ok(None);
        };
        Samples::read(bytes.as_slice())
            .map(Some)
            .map_err(|source| StoreError::Samples {
                path: self.path.join(SAMPLES),
                source,
            })
    }

    /// Writes the sums: now the report is finished.
    pub(super) fn seal(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let temporary = self.path.join(".SHA256SUMS");
        write(&temporary, manifest.to_text().as_bytes())?;
        let path = self.path.join(SUMS);
        fs::rename(&temporary, &path).map_err(|source| StoreError::Write { path, source })
    }
}

/// Writes a file and waits until it is on the disk, so that a full disk is noticed here.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| StoreError::Write {
        path: path.to_owned(),
        source,
    })
}
