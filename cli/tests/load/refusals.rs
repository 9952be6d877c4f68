//! What is refused before a shop is looked for.

use super::shop::{Run, TestShop};

fn refused(shop: &TestShop, arguments: &[&str], code: i32, said: &[&str]) {
    let output = shop
        .command(&["loadtest"])
        .args(arguments)
        .output()
        .unwrap();
    Run::of(&output).refused(code, said);
}

#[test]
fn wishes_that_make_no_sense_are_refused_with_what_would() {
    let shop = TestShop::new();
    refused(
        &shop,
        &["--profile", "browze"],
        2,
        &["browze", "browse, flash-sale, null, open, soak"],
    );
    refused(&shop, &["--rate", "100"], 2, &["--profile open"]);
    refused(&shop, &["--duration", "500ms"], 2, &["too short"]);
    refused(&shop, &["--duration", "10"], 2, &["30s, 5m or 1h"]);
    refused(&shop, &["--vus", "0"], 2, &["1..=100000"]);
}

#[test]
fn a_shop_that_was_never_brought_up_is_not_loaded() {
    let shop = TestShop::new();
    refused(&shop, &[], 1, &["never brought up", "shopctl up"]);
}
