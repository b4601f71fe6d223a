//! What can be wrong with a worker, and what can be tried about it.

use crate::names::closed_names;

closed_names! {
    /// What is wrong with a worker, the most severe first: where several hold, the first one decides what can help.
    "fault" Fault {
        /// The browser's process has ended.
        ProcessDead = "process_dead",
        /// The program that drives the browser has ended, so nothing can be asked of the browser any more.
        DriverDead = "driver_dead",
        /// The page's own process crashed, while the browser lives.
        PageCrashed = "page_crashed",
        /// The page's main thread does not answer, although its connection is open.
        PageHung = "page_hung",
        /// A thread that computes makes no progress on work that it holds, while the main thread answers.
        WorkerHung = "worker_hung",
        /// A connection to the page broke, while its process lives.
        SocketLost = "socket_lost",
        /// The page lost its GPU device or WebNN context.
        DeviceLost = "device_lost",
        /// An allocation in the page failed.
        OutOfMemory = "out_of_memory",
        /// Its answers have the right shape and the wrong numbers.
        WrongNumbers = "wrong_numbers",
        /// It answers rightly, but takes far longer than it used to.
        Slow = "slow",
    }
}

closed_names! {
    /// One thing to try about a worker in trouble, the mildest first. Each ends with a proof that the worker works.
    "rung" Rung {
        /// Ask for a sign of life, because it may be a false alarm.
        Ping = "ping",
        /// Connect to the page again; what it has loaded and what it is computing stays.
        Reconnect = "reconnect",
        /// Load the page anew; models are loaded again from the browser's cache.
        Refresh = "refresh",
        /// Kill the browser and its driver, and start them again.
        Restart = "restart",
        /// Give the worker up, and have another one take over its work.
        Switch = "switch",
    }
}

closed_names! {
    /// How scarce memory is, in rising order.
    "pressure level" PressureLevel {
        /// There is enough.
        Normal = "normal",
        /// Nothing more should be taken on.
        Elevated = "elevated",
        /// Something should be given back.
        High = "high",
        /// Something will be killed if nothing is given back at once.
        Critical = "critical",
    }
}
