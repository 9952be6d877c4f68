//! What somebody may have meant.

/// The candidate that is most like a word, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bare = bare(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&bare, &self::bare(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed(word, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters may differ: few in a short word, where everything is like everything.
fn allowed(word: &str, candidate: &str) -> usize {
    let letters = word.chars().count().max(candidate.chars().count());
    match letters {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    }
}

fn distance(word: &str, candidate: &str) -> usize {
    strsim::damerau_levenshtein(word, candidate)
}

/// A word without its case and its word marks: `load_profiles`, `load-profiles` and `loadProfiles` are the same.
fn bare(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_the_same_is_suggested_and_the_rest_is_not() {
        let known = ["replicas", "ports", "storage", "loadProfiles", "cpu"];
        for (word, meant) in [
            ("replica", Some("replicas")),
            ("repilcas", Some("replicas")),
            ("port", Some("ports")),
            ("load_profiles", Some("loadProfiles")),
            ("Storage", Some("storage")),
            ("memory", None),
            ("x", None),
            ("gpu", Some("cpu")),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
