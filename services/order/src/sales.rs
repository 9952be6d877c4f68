//! Which products are in a sale now, as product's function says, remembered for a second.
//!
//! Only the lock depends on it (`sale_lock`): what a sale allows and costs is decided with the order, in Postgres.
//! So an answer that is a second old, or none, harms nothing, and no request waits for one that is merely old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How long an answer is taken as it is; after that it is asked for again, in the background.
const FRESH: Duration = Duration::from_secs(1);
/// How long an old answer is better than none.
const USABLE: Duration = Duration::from_secs(30);
/// How long a request waits for the first answer about a product.
const FIRST_ANSWER: Duration = Duration::from_millis(50);
/// Products remembered; beyond it the old ones are forgotten.
const REMEMBERED: usize = 10_000;
/// Products asked about in one query.
const ASKED_AT_ONCE: usize = 512;

#[derive(Debug, Clone, Copy)]
struct Answer {
    sale: Option<(Uuid, OffsetDateTime)>,
    since: Instant,
    /// Whether somebody has asked for a newer one.
    asked: bool,
}

#[derive(Debug)]
struct Question {
    product_id: Uuid,
    answered: Option<oneshot::Sender<()>>,
}

type Answers = Arc<Mutex<HashMap<Uuid, Answer>>>;

/// Knows the running sales.
#[derive(Debug, Clone)]
pub struct Sales {
    answers: Answers,
    questions: mpsc::Sender<Question>,
}

impl Sales {
    /// Knows nothing yet. The second value does the asking and ends when the first is gone.
    pub fn new(pool: PgPool) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (questions, asked) = mpsc::channel(ASKED_AT_ONCE);
        let answers = Answers::default();
        let asking = answer_all(pool, Arc::clone(&answers), asked);
        (Self { answers, questions }, asking)
    }

    /// The sale that a product is in, as far as is known in time.
    pub async fn running(&self, product_id: Uuid) -> Option<Uuid> {
        let (known, ask) = self.look(product_id);
        if known.is_none() {
            let (answered, answer) = oneshot::channel();
            let question = Question {
                product_id,
                answered: Some(answered),
            };
            // Not asked, not answered or too late: then there is no lock, and the order is decided all the same.
            if self.questions.try_send(question).is_ok() {
                let _late = tokio::time::timeout(FIRST_ANSWER, answer).await;
            }
            return self.look(product_id).0.and_then(running_now);
        }
        if ask {
            let _full = self.questions.try_send(Question {
                product_id,
                answered: None,
            });
        }
        known.and_then(running_now)
    }

    /// What is known of a product, and whether it is time to ask again, which is said once an answer.
    fn look(&self, product_id: Uuid) -> (Option<Answer>, bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = answers
            .get_mut(&product_id)
            .filter(|answer| answer.since.elapsed() < USABLE)
        else {
            return (None, false);
        };
        let ask = !answer.asked && answer.since.elapsed() >= FRESH;
        answer.asked |= ask;
        (Some(*answer), ask)
    }
}

fn running_now(answer: Answer) -> Option<Uuid> {
    answer
        .sale
        .filter(|(_, ends_at)| *ends_at > OffsetDateTime::now_utc())
        .map(|(sale, _)| sale)
}

async fn answer_all(pool: PgPool, answers: Answers, mut asked: mpsc::Receiver<Question>) {
    let mut questions = Vec::new();
    while asked.recv_many(&mut questions, ASKED_AT_ONCE).await > 0 {
        let mut products: Vec<Uuid> = questions
            .iter()
            .map(|question| question.product_id)
            .collect();
        products.sort_unstable();
        products.dedup();
        match ask(&pool, &products).await {
            Ok(sales) => remember(&answers, &products, &sales),
            Err(error) => {
                tracing::debug!(%error, "the running sales are not known");
                ask_again(&answers, &products);
            }
        }
        for question in questions.drain(..) {
            if let Some(answered) = question.answered {
                let _gone = answered.send(());
            }
        }
    }
}

async fn ask(
    pool: &PgPool,
    products: &[Uuid],
) -> Result<HashMap<Uuid, (Uuid, OffsetDateTime)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT product_id AS "product_id!", sale_id AS "sale_id!", ends_at AS "ends_at!"
             FROM product.flash_sale($1)"#,
        products,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.product_id, (row.sale_id, row.ends_at)))
        .collect())
}

fn remember(answers: &Answers, products: &[Uuid], sales: &HashMap<Uuid, (Uuid, OffsetDateTime)>) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if answers.len() + products.len() > REMEMBERED {
        answers.retain(|_, answer| answer.since.elapsed() < FRESH);
    }
    if answers.len() + products.len() > REMEMBERED {
        answers.clear();
    }
    for product_id in products {
        let sale = sales.get(product_id).copied();
        answers.insert(
            *product_id,
            Answer {
                sale,
                since: Instant::now(),
                asked: false,
            },
        );
    }
}

/// Nothing was learned: whoever comes next may ask again.
fn ask_again(answers: &Answers, products: &[Uuid]) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    for product_id in products {
        if let Some(answer) = answers.get_mut(product_id) {
            answer.asked = false;
        }
    }
}
