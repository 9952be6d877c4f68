//! Reads what k6 writes with `--out csv`: a line a measurement. Pure.
//!
//! Only the few kinds of line that a report is made of are read; k6 is told to leave out the tags that nobody needs.

/// A measurement that counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measurement {
    /// A request ended.
    Request {
        /// When, in milliseconds since 1970.
        at: u64,
        /// The route, as the script names it.
        route: String,
        /// The status; 0: no answer.
        status: u16,
        /// Whether the script did not expect this.
        failed: bool,
        /// How long it took, in milliseconds.
        milliseconds: f64,
    },
    /// Something was checked.
    Check {
        /// What.
        name: String,
        /// Whether it held.
        held: bool,
    },
    /// Rounds of the script ended.
    Iterations(u64),
    /// Rounds were due and could not be begun.
    Dropped(u64),
    /// A user went on so many milliseconds later than he wanted.
    Late(f64),
}

/// The tags that lines are to carry: `--system-tags`.
pub(super) const SYSTEM_TAGS: &str = "status,name,method,check,expected_response";

/// Reads lines, of which the first says what stands where.
#[derive(Debug, Default)]
pub(super) struct CsvReader {
    columns: Option<Columns>,
}

#[derive(Debug)]
struct Columns {
    metric: usize,
    at: usize,
    value: usize,
    check: Option<usize>,
    expected: Option<usize>,
    method: Option<usize>,
    name: Option<usize>,
    status: Option<usize>,
}

impl CsvReader {
    /// Reads a line. `None`: it says nothing that counts.
    pub(super) fn read(&mut self, line: &str) -> Option<Measurement> {
        let Some(columns) = &self.columns else {
            self.columns = Columns::of(line);
            return None;
        };
        // Most lines are of no use, and are not taken apart.
        let metric_ends = line.find(',')?;
        match &line[..metric_ends] {
            "http_req_duration" | "checks" | "iterations" | "dropped_iterations"
            | "generator_late" => {}
            _ => return None,
        }
        let fields = fields(line);
        let text = |column: Option<usize>| {
            column
                .and_then(|column| fields.get(column))
                .map_or("", String::as_str)
        };
        let value: f64 = text(Some(columns.value)).parse().ok()?;
        match text(Some(columns.metric)) {
            "http_req_duration" => Some(Measurement::Request {
                at: text(Some(columns.at)).parse().ok()?,
                route: route(text(columns.name), text(columns.method)),
                status: text(columns.status).parse().unwrap_or(0),
                failed: text(columns.expected) != "true",
                milliseconds: value,
            }),
            "checks" => Some(Measurement::Check {
                name: text(columns.check).to_owned(),
                held: value > 0.0,
            }),
            "iterations" => Some(Measurement::Iterations(whole(value))),
            "generator_late" => Some(Measurement::Late(value)),
            _ => Some(Measurement::Dropped(whole(value))),
        }
    }
}

impl Columns {
    fn of(header: &str) -> Option<Self> {
        let names = fields(header);
        let place = |name: &str| names.iter().position(|column| column == name);
        Some(Self {
            metric: place("metric_name")?,
            at: place("timestamp")?,
            value: place("metric_value")?,
            check: place("check"),
            expected: place("expected_response"),
            method: place("method"),
            name: place("name"),
            status: place("status"),
        })
    }
}

/// A script that does not name its requests has addresses for names: what changes from one to the next is left out.
fn route(name: &str, method: &str) -> String {
    let Some((_, rest)) = name.split_once("://") else {
        return name.to_owned();
    };
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split('/').map(|segment| {
        let id = segment.len() >= 16 || segment.bytes().any(|byte| byte.is_ascii_digit());
        if id { "{…}" } else { segment }
    });
    format!("{method} {}", segments.collect::<Vec<_>>().join("/"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "k6 counts rounds in whole numbers, and negative ones become 0"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// The fields of a line: RFC 4180, without line breaks inside of a field.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::with_capacity(12);
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted),
            None => match rest.split_once(',') {
                Some((field, after)) => (field.to_owned(), Some(after)),
                None => (rest.to_owned(), None),
            },
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return fields,
        }
    }
}

/// A field in double quotes, of which the first one was read, and what comes after its comma.
fn quoted_field(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return (field, after.strip_prefix(',')),
        }
    }
    field.push_str(rest);
    (field, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "metric_name,timestamp,metric_value,check,expected_response,method,name,status,extra_tags,metadata";

    fn reader() -> CsvReader {
        let mut reader = CsvReader::default();
        assert_eq!(reader.read(HEADER), None);
        reader
    }

    #[test]
    fn a_request_is_read_with_its_route_status_and_time() {
        let line =
            "http_req_duration,1795272455762,2.425441,,true,GET,GET /api/products/{id},200,,";
        let request = Measurement::Request {
            at: 1_795_272_455_762,
            route: "GET /api/products/{id}".to_owned(),
            status: 200,
            failed: false,
            milliseconds: 2.425_441,
        };
        assert_eq!(reader().read(line), Some(request));
    }

    #[test]
    fn a_request_without_an_answer_has_status_0_and_failed() {
        let line = "http_req_duration,1795272455762,0.5,,false,GET,GET /api/echo,0,,";
        let Some(Measurement::Request { status, failed, .. }) = reader().read(line) else {
            panic!("it is a request");
        };
        assert_eq!((status, failed), (0, true));
    }

    #[test]
    fn a_check_may_have_commas_and_quotes_in_its_name() {
        let line = r#"checks,1795272455762,0.0,"it says ""yes"", or no",,,,,,"#;
        let check = Measurement::Check {
            name: r#"it says "yes", or no"#.to_owned(),
            held: false,
        };
        assert_eq!(reader().read(line), Some(check));
    }

    #[test]
    fn rounds_that_ended_and_those_that_could_not_begin_are_counted() {
        let mut reader = reader();
        assert_eq!(
            reader.read("iterations,1,1.0,,,,,,,"),
            Some(Measurement::Iterations(1))
        );
        assert_eq!(
            reader.read("dropped_iterations,1,3.0,,,,,,,"),
            Some(Measurement::Dropped(3))
        );
        assert_eq!(
            reader.read("generator_late,1,2.5,,,,,,,"),
            Some(Measurement::Late(2.5))
        );
    }

    #[test]
    fn lines_that_do_not_count_and_lines_that_are_none_are_passed_over() {
        let mut reader = reader();
        for line in [
            "vus,1,5.0,,,,,,,",
            "http_req_duration,x,y,,,,,,,",
            "",
            "iterations",
            "\"",
        ] {
            assert_eq!(reader.read(line), None, "{line}");
        }
    }

    #[test]
    fn addresses_become_routes_without_what_changes_in_them() {
        assert_eq!(route("POST /api/orders", "POST"), "POST /api/orders");
        assert_eq!(
            route("http://127.0.0.1:8080/api/products?limit=5", "GET"),
            "GET /api/products"
        );
        assert_eq!(
            route(
                "http://h/api/products/01a1fe93-495b-7481-a252-e28c325198b9",
                "GET"
            ),
            "GET /api/products/{…}"
        );
        assert_eq!(route("http://h", "GET"), "GET /");
    }
}
