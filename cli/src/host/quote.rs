//! Arguments as a line for a POSIX shell, which is what sshd hands a command to. Nowhere else is anything quoted.

/// The line that a POSIX shell splits into exactly these arguments.
pub fn shell_line(argv: &[String]) -> String {
    argv.iter()
        .map(|argument| quoted(argument))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:@,%".contains(c);
    // A word with `=` in front would be an assignment, and `~` is not plain at all.
    if !argument.is_empty() && argument.chars().all(plain) && !argument.contains('=') {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn through_a_shell(argv: &[String]) -> Vec<String> {
        let print = [
            "sh",
            "-c",
            r#"for argument; do printf '%s\0' "$argument"; done"#,
            "sh",
        ];
        let all: Vec<String> = print
            .iter()
            .map(|&s| s.to_owned())
            .chain(argv.to_vec())
            .collect();
        let output = Command::new("sh")
            .args(["-c", &shell_line(&all)])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn hostile_arguments_arrive_as_they_were() {
        let hostile: Vec<String> = [
            "",
            " ",
            "it's",
            "'",
            "a'b''c",
            "$(touch /tmp/x)",
            "`id`",
            "$HOME",
            "a\nb",
            "\\",
            "\\'",
            "!!",
            "*",
            "~",
            "~root",
            "a=b",
            "-n",
            "--",
            ";",
            "&& true",
            "|",
            "<>",
            "#x",
            "ü€\u{1f600}",
            "\t",
            "{a,b}",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(through_a_shell(&hostile), hostile);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_arguments_arrive_as_they_were(argv in prop::collection::vec("[^\0]{0,12}", 1..6)) {
            prop_assert_eq!(through_a_shell(&argv), argv);
        }
    }
}
