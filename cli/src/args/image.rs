//! `image` and what it takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::image::{ImageName, Owner};

/// What to do with images.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// Pack a program, or a folder with a root file system, as an OCI archive
    #[command(after_help = PACK)]
    Pack(ImagePackArgs),
}

/// Pack an image.
#[derive(Clone, Debug, Args)]
pub struct ImagePackArgs {
    /// The program [default: the shopd beside shopctl]
    #[arg(value_name = "PROGRAM", conflicts_with = "root")]
    pub program: Option<PathBuf>,
    /// Pack this folder as the root file system, instead of a program
    #[arg(long, value_name = "DIR", requires = "name")]
    pub root: Option<PathBuf>,
    /// The full name; without a tag it is tagged with the digest [default: localhost/shopctl/PROGRAM]
    #[arg(long, value_name = "NAME")]
    pub name: Option<ImageName>,
    /// The archive: a file, or a folder in which it is called NAME-TAG.tar
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub out: PathBuf,
    /// Who it runs as
    #[arg(long, value_name = "USER[:GROUP]", default_value_t = Owner::SHOP)]
    pub user: Owner,
    /// What is started, one word each [default: the program]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,
    /// Its arguments where nobody gives others, one each
    #[arg(long = "argument", value_name = "WORD", allow_hyphen_values = true)]
    pub arguments: Vec<String>,
    /// A variable
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = assignment)]
    pub variables: Vec<(String, String)>,
    /// What it says about itself
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = assignment)]
    pub labels: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must be NAME=VALUE"),
    }
}

const PACK: &str = "\
The same content gives the same bytes. A program takes the shared objects along that it needs: its
headers name them, nothing is executed.

Examples:
  shopctl image pack                                    shopd, into ./shopd-TAG.tar
  shopctl image pack --out shopd.tar -o json | jq -r .name
  shopctl image pack --root rootfs --name localhost/tools/redis:7 --entrypoint /usr/bin/redis-server";
