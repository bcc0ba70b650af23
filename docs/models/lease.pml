/*
 * The lease protocol of docs/design.md, R1 to R6, as a Promela model: after a revoke has returned, no node accepts
 * the revoked token. How to run it, and how to read a counterexample: README.md beside this file.
 *
 * What is modelled
 *   time        one tick at a time, whenever it likes. Nothing is ever urgent, so anything may stand still for any time
 *               between any two steps while time goes on: a pause (SIGSTOP), a slow network and a slow database are not
 *               extra actions, they are in every interleaving. Nodes' clocks are not the waiter's: while a revoke is
 *               under way each may fall a tick behind, which is why LEASE < WAIT.
 *   database    access_clock (number), which number in the log is the revoke's and which the other change's, node rows
 *               with applied_seq, the epoch. A poll is a snapshot and, later, a commit of the node's row.
 *   node        one ingress process: it registers, polls, applies, publishes its lease; its cache's entry of token A; a
 *               look-up under way (the fill); its door, where a request of token A is checked. It may die at any step
 *               and start again under a new id; a poll or its answer may be lost at any step.
 *   revoke      of token A, waiting as R5 says. Another change (of token B) competes for numbers.
 *   failover    to a standby that may lack the other change: the number falls back, the epoch moves on.
 *   the rest    rows forgotten after silence, the log trimmed, entries and tombstones evicted, answers limited.
 *
 * Bounds, and why they suffice
 *   Time and the number of polls, fills, evictions, deaths and restarts have none: only ages are kept, and they stop
 *     where a greater age makes no difference.
 *   LEASE 2, WAIT 3 ticks: the smallest that give a lease an inside, and a drift of one tick in WAIT. 4 and 5 are run too.
 *   NODES 1. Nodes never read each other's state, and the waiter asks whether every row shows its number: take all but
 *     the accepting node out of a run with many, and what is left is a run with one. 2 for an id that two use, with CALM
 *     (one change, no failover, nothing trimmed or evicted) to keep the states few.
 *   Two numbers: the revoke's and one that comes before or after it, in one answer or (an answer lists one) in two.
 *   One failover.
 *   Requests sent before the revoke returned may end either way, so only those sent after it are followed. What earlier
 *     ones leave behind, the fill, is.
 *
 * Where the model allows more than the real thing, so that it has fewer states
 *   A row goes the moment its process dies (really a revoke waits for it until it gives up, which is later).
 *   A poll that its node no longer waits for may reach the database at any time, and a crash may lose what a row shows (polls
 *     are committed without waiting for the disk): at any time it may show 0, or what the node has applied.
 *   The log may be found trimmed by any poll that is behind.
 *   A row is forgotten when its node has no lease and no answer under way can still give one, which ten leases without a
 *     poll imply.
 */

#ifndef NODES
#define NODES 1
#endif
#ifndef LEASE
#define LEASE 2       /* ticks of a node's clock: ACCESS_LEASE_MS */
#endif
#define NUMBERS 2     /* changes there can be */
#define LIMIT 1       /* changes in one answer: ACCESS_POLL_ROWS_MAX */

#ifdef WAIT_EQUALS_LEASE
#define WAIT LEASE
#else
#define WAIT (LEASE + 1) /* ticks of the waiter's clock: ACCESS_WAIT_MS */
#endif

/* --- the database ------------------------------------------------------------------------------------------------ */

byte number;                /* access_clock: the last number */
byte revoke_number;         /* of the revoke of A; 0: not committed */
byte other_number;          /* of the change of B; 0: none */
bit epoch;
bit row_here[NODES];        /* wp.nodes: the row of the process that runs in this place, under an id of its own */
byte row_applied[NODES];
#ifdef REPORTED_TIME
byte row_age[NODES];        /* what the waiter takes for the age of the node's t0 */
#endif

#ifdef ID_REUSED
#define ROW 0 /* the process in place 1 is a successor of the one in place 0, which is not dead but stalled */
#else
#define ROW i
#endif

/* --- the revoke (R4, R5) ----------------------------------------------------------------------------------------- */

mtype = { IDLE, TAKEN, COMMITTED, WAITING, RETURNED };
mtype revoke = IDLE;
byte taken;                 /* NUMBER_OUTSIDE_LOCK: its number while it is not committed */
byte wait_left;             /* ticks until it gives up on nodes that do not show the number */
bit drifted[NODES];         /* this node's clock has lost its tick */

/* --- nodes ------------------------------------------------------------------------------------------------------- */

mtype = { DOWN, REGISTERING, READY, SENT, SNAPPED, ANSWERED, APPLIED };
mtype = { NONE, ACTIVE, TOMBSTONE };
mtype = { CLOSED, LEASE_SEEN, ENTRY_SEEN };

typedef Node {
    mtype phase = DOWN;
    bit primed;             /* the first poll is answered and applied */
    bit epoch;
    byte applied;
    byte age;               /* of t0 of the poll under way, in ticks of its clock; LEASE: too old to be of use */
    byte lease_left;        /* in ticks of its clock; 0: no lease */

    byte last;              /* the answer: the last number in it */
    bit whole;              /* that is the clock of its snapshot */
    bit revoked;            /* the revoke is in it */
    bit reset;
    bit new_epoch;          /* of a reset */

    mtype entry = NONE;     /* of token A */
    byte floor;             /* fills older than this are thrown away (R6) */

    bit fill;               /* a look-up found A active; its answer is under way */
    byte fill_number;
    bit fill_epoch;

    mtype door = CLOSED;    /* a request of A whose last byte was sent after the revoke returned */
#ifdef CACHED_CLOCK
    byte lease_thought;     /* what is left of the lease by the time that the loop took when it woke up */
#endif
}
Node node[NODES];

#define N node[i]
#define POLLING (N.phase == SENT || N.phase == SNAPPED || N.phase == ANSWERED || N.phase == APPLIED)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))

/* --- what the mutations change (README.md) ------------------------------------------------------------------------ */

#ifdef CALM
#define TRIMMED false
#else
#define TRIMMED (N.applied < number)
#endif
#ifdef NO_EPOCH_CHECK
#define OTHER_HISTORY (N.applied > number)
#else
#define OTHER_HISTORY (N.epoch != epoch || N.applied > number)
#endif
#ifdef LIMITED_RENEWS
#define RENEWS true
#else
#define RENEWS N.whole
#endif
#ifdef CACHED_CLOCK
#define LEASE_HOLDS (N.lease_thought > 0)
#else
#define LEASE_HOLDS (N.lease_left > 0)
#endif
#ifdef FILL_BEFORE_POLL
#define MAY_FILL true
#else
#define MAY_FILL N.primed
#endif
#ifdef FILL_WITHOUT_EPOCH
#define SAME_HISTORY true
#else
#define SAME_HISTORY (N.fill_epoch == N.epoch)
#endif
#ifdef FLOOR_NOT_SET
#define FLOOR(clock) 0
#else
#define FLOOR(clock) clock
#endif
#ifdef TOMBSTONE_FORGOTTEN
#define EVICTED_FLOOR N.floor
#else
#define EVICTED_FLOOR MAX(N.floor, (N.entry == TOMBSTONE -> revoke_number : 0))
#endif
#ifdef ENTRY_DELETED
#define CHANGED NONE
#else
#define CHANGED TOMBSTONE
#endif
#ifdef ROW_FORGOTTEN_EARLY
#define SILENT true
#else
#define SILENT (N.lease_left == 0 && (N.age == LEASE || N.phase == READY || N.phase == SENT))
#endif
#ifdef ROW_WITH_FIRST_POLL
#define REGISTERED READY
#else
#define REGISTERED REGISTERING
#endif
#ifdef REPORTED_TIME
#define SHOWN(r) (!row_here[r] || row_applied[r] >= revoke_number || row_age[r] >= WAIT)
#define WAITED false
#else
#define SHOWN(r) (!row_here[r] || row_applied[r] >= revoke_number)
#define WAITED (wait_left == 0)
#endif
#if NODES == 1
#define ALL_SHOWN SHOWN(0)
#else
#define ALL_SHOWN (SHOWN(0) && SHOWN(1))
#endif

/* --- a node ------------------------------------------------------------------------------------------------------ */

inline forget_answer() { N.age = 0; N.last = 0; N.whole = 0; N.revoked = 0; N.reset = 0; N.new_epoch = 0 }
inline forget_fill() { N.fill = 0; N.fill_number = 0; N.fill_epoch = 0 }
inline die() {
    N.phase = DOWN; N.primed = 0; N.epoch = 0; N.applied = 0; N.lease_left = 0;
    N.entry = NONE; N.floor = 0; N.door = CLOSED;
#ifdef CACHED_CLOCK
    N.lease_thought = 0;
#endif
    forget_answer(); forget_fill();
#ifndef ID_REUSED
    row_here[i] = 0; row_applied[i] = 0
#endif
}

proctype Ingress(byte i) {
    do
    /* R1: the row is committed before the first poll is sent. Its number is of a snapshot before that. */
    :: d_step { N.phase == DOWN -> N.applied = number; N.epoch = epoch; N.floor = FLOOR(number); N.phase = REGISTERED }
    :: d_step { N.phase == REGISTERING -> row_here[ROW] = 1; row_applied[ROW] = N.applied; N.phase = READY }

    /* R2: first t0, then the poll. */
    :: d_step { N.phase == READY -> N.age = 0; N.phase = SENT }
    :: atomic { N.phase == SENT -> /* the database's snapshot */
        if
        :: OTHER_HISTORY || TRIMMED -> /* another history, or the log is trimmed */
            N.reset = 1; N.whole = 1; N.last = number; N.new_epoch = epoch
        :: !OTHER_HISTORY ->
            N.last = MIN(number, N.applied + LIMIT); N.whole = (N.last == number);
            N.revoked = (revoke_number > N.applied && revoke_number <= N.last)
        fi;
        N.phase = SNAPPED
    }
    :: d_step { N.phase == SNAPPED -> /* the database's commit: the row shows what the node had applied when it asked */
#ifdef ROW_WITH_FIRST_POLL
        row_here[ROW] = row_here[ROW] || !N.primed;
#endif
        if
        :: row_here[ROW] ->
            row_applied[ROW] = (N.reset -> 0 : N.applied);
#ifdef REPORTED_TIME
            row_age[ROW] = MIN(N.age + 2, WAIT); /* the node's clock is two ticks behind the waiter's */
#endif
            N.phase = ANSWERED
        :: else -> die() /* forgotten: it begins again */
        fi
    }
    :: d_step { N.phase == ANSWERED -> /* the entries first */
        if
        :: N.reset -> N.entry = NONE; N.epoch = N.new_epoch; N.floor = FLOOR(N.last)
        :: !N.reset && N.revoked -> N.entry = CHANGED
        :: else
        fi;
        N.applied = N.last;
        N.phase = APPLIED
    }
    :: d_step { N.phase == APPLIED -> /* then the lease */
#ifdef T0_AFTER_ANSWER
        N.age = 0;
#endif
        N.lease_left = (RENEWS -> MAX(N.lease_left, LEASE - N.age) : N.lease_left);
        N.primed = 1;
        forget_answer(); N.phase = READY
    }
#ifdef LEASE_BEFORE_ENTRIES
    :: d_step { N.phase == ANSWERED && N.whole -> N.lease_left = MAX(N.lease_left, LEASE - N.age) }
#endif

    /* A poll or its answer is lost, or waited for too long. The database may carry it out all the same, and late. */
    :: d_step { N.phase == SENT || N.phase == ANSWERED -> forget_answer(); N.phase = READY }
#ifndef CALM
    :: d_step { row_here[ROW] && row_applied[ROW] > 0 -> row_applied[ROW] = 0 }
    :: d_step { row_here[ROW] && N.phase != DOWN && N.phase != REGISTERING && N.epoch == epoch && row_applied[ROW] < N.applied -> row_applied[ROW] = N.applied }
#endif

    /* R6: a look-up that some request caused, its snapshot and then its answer. */
    :: d_step { !N.fill && revoke_number == 0 -> N.fill = 1; N.fill_number = number; N.fill_epoch = epoch }
    :: d_step { N.fill ->
        N.entry = (MAY_FILL && SAME_HISTORY && N.entry == NONE && N.fill_number >= N.floor -> ACTIVE : N.entry);
        forget_fill()
    }
#ifndef CALM
    :: d_step { N.entry != NONE -> N.floor = EVICTED_FLOOR; N.entry = NONE } /* evicted */
#endif

    /* R3: the lease first, then the entry. Without a lease the request asks the primary, after its last byte came. */
#ifdef ENTRY_BEFORE_LEASE
    :: d_step { revoke == RETURNED && N.door == CLOSED && N.entry == ACTIVE -> N.door = ENTRY_SEEN }
    :: d_step { N.door == ENTRY_SEEN -> assert(!LEASE_HOLDS); N.door = CLOSED }
#else
    :: d_step { revoke == RETURNED && N.door == CLOSED && LEASE_HOLDS -> N.door = LEASE_SEEN }
    :: d_step { N.door == LEASE_SEEN -> assert(N.entry != ACTIVE); N.door = CLOSED }
#endif
    :: d_step { revoke == RETURNED && !LEASE_HOLDS -> assert(revoke_number != 0) }
#ifdef LOOKUP_SHARED
    :: d_step { revoke == RETURNED && !LEASE_HOLDS -> assert(!N.fill) }
#endif
#ifdef CACHED_CLOCK
    :: d_step { N.door == CLOSED && N.lease_thought != N.lease_left -> N.lease_thought = N.lease_left }
#endif

    :: d_step { N.phase != DOWN && N.phase != SNAPPED -> die() }
    :: d_step { row_here[ROW] && SILENT -> row_here[ROW] = 0; row_applied[ROW] = 0 } /* forgotten */
    od
}

/* --- what happens to it -------------------------------------------------------------------------------------------- */

/* R4: the lock on access_clock makes taking a number and committing one step; without it they are two. */
proctype Revoke() {
#ifdef NUMBER_OUTSIDE_LOCK
    d_step { number < NUMBERS -> number++; taken = number; revoke = TAKEN }
    d_step { revoke_number = taken; taken = 0; revoke = COMMITTED }
#else
#ifdef WAIT_FROM_BEFORE_COMMIT
    d_step { wait_left = WAIT; revoke = TAKEN }
#endif
    d_step { number++; revoke_number = number; revoke = COMMITTED }
#endif
    d_step { /* R5: the commit returned */
#ifndef WAIT_FROM_BEFORE_COMMIT
        wait_left = WAIT;
#endif
        revoke = WAITING
    }
    atomic {
        if
        :: ALL_SHOWN -> skip
        :: WAITED -> skip
        fi;
        wait_left = 0; revoke = RETURNED
    }
}

proctype Other() {
    do
    :: d_step { other_number == 0 && number < NUMBERS && revoke != RETURNED -> number++; other_number = number }
    od
}

/* The standby has all that was acknowledged, so the revoke once it is committed, but perhaps not the other change. It is a
 * prefix of what the primary wrote: no row shows a number that it lacks. */
proctype Failover() {
    byte i;
    atomic {
        epoch == 0 && taken == 0 -> epoch = 1;
        if
        :: other_number > 0 && other_number == number ->
            number--; other_number = 0;
            for (i : 0 .. NODES - 1) { row_applied[i] = MIN(row_applied[i], number) }
        :: true
        fi;
        for (i : 0 .. NODES - 1) { /* what was not committed is not */
            if
            :: N.phase == REGISTERING -> die()
            :: N.phase == SNAPPED -> forget_answer(); N.phase = READY
            :: else
            fi
        }
        i = 0
    }
}

inline node_tick() {
    if
    :: !drifted[i] && (revoke == COMMITTED || revoke == WAITING) -> drifted[i] = 1
    :: true ->
        N.lease_left = MAX(N.lease_left, 1) - 1;
        N.age = (POLLING -> MIN(N.age + 1, LEASE) : 0)
    fi
#ifdef REPORTED_TIME
    ; row_age[i] = MIN(row_age[i] + 1, WAIT)
#endif
}

proctype Time() {
    byte i;
    do
    :: atomic {
        true ->
        node_tick();
#if NODES > 1
        i = 1; node_tick(); i = 0;
#endif
        wait_left = MAX(wait_left, 1) - 1
    }
    od
}

init {
    atomic {
        run Revoke(); run Time(); run Ingress(0);
#ifndef CALM
        run Other(); run Failover();
#endif
#if NODES > 1
        run Ingress(1)
#endif
    }
}
