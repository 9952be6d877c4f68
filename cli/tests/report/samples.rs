//! The file of raw samples.

use shopctl::report::{Books, LoadReport, ReadSamplesError, Samples};

use crate::fixture::{facts, samples};

fn written(samples: &Samples) -> Vec<u8> {
    let mut file = Vec::new();
    samples.write(&mut file).unwrap();
    file
}

fn packed(lines: &str) -> Vec<u8> {
    zstd::encode_all(lines.as_bytes(), 1).unwrap()
}

#[test]
fn what_is_written_is_read_and_small() {
    let samples = samples();
    let file = written(&samples);
    assert_eq!(Samples::read(file.as_slice()).unwrap(), samples);
    assert!(file.len() < 256 * 1024, "{} bytes", file.len());
}

#[test]
fn a_report_can_be_computed_again_from_itself_and_its_samples() {
    let samples = samples();
    let report = LoadReport::assemble(facts(), &samples);
    let json = serde_json::to_string(&report).unwrap();
    let read: LoadReport = serde_json::from_str(&json).unwrap();
    assert_eq!(read, report);
    assert_eq!(LoadReport::assemble(read.facts(), &samples), report);
}

#[test]
fn books_that_nobody_could_read_say_why() {
    let samples = Samples {
        books: Books::Unread {
            reason: "away".to_owned(),
        },
        ..Samples::default()
    };
    assert_eq!(
        Samples::read(written(&samples).as_slice()).unwrap(),
        samples
    );
}

#[test]
fn a_file_that_is_cut_off_changed_or_newer_is_refused() {
    let file = written(&samples());
    assert!(matches!(
        Samples::read(&file[..file.len() / 2]),
        Err(ReadSamplesError::Unpack(_))
    ));
    let mut changed = file.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert!(Samples::read(changed.as_slice()).is_err());
    let head = r#"{"head":{"version":1,"offeredMicroseconds":1,"iterations":0,"droppedIterations":0,"coresAvailable":2.0}}"#;
    assert!(Samples::read(packed(&format!("{head}\n\"end\"\n")).as_slice()).is_ok());
    let read = |lines: &str| Samples::read(packed(lines).as_slice());
    assert!(matches!(
        read(&format!("{head}\n")),
        Err(ReadSamplesError::Truncated)
    ));
    assert!(matches!(read("\"end\"\n"), Err(ReadSamplesError::Head)));
    assert!(matches!(
        read(&format!("{head}\n\"end\"\n{head}\n")),
        Err(ReadSamplesError::AfterTheEnd)
    ));
    assert!(matches!(
        read(&format!("{head}\nnonsense\n")),
        Err(ReadSamplesError::Line { number: 2, .. })
    ));
    assert!(matches!(
        read(r#"{"head":{"version":2,"somethingNew":true}}"#),
        Err(ReadSamplesError::Version { found: 2 })
    ));
    assert!(matches!(read(""), Err(ReadSamplesError::Truncated)));
}
