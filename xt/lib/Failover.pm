package Failover;

# A trial: clients log in, redeem, check and log out, each a process with connections of its
# own, while a fault happens to a Cluster, and its primary is replaced where that is needed.
# What they have seen is an array of events, as History takes them.

use strict;
use warnings;
use Carp                     qw(croak);
use Cpanel::LogMeIn::Session ();
use File::Temp               ();
use History                  qw(counts violations);
use IO::Handle               ();
use IO::Select               ();
use List::Util               qw(max min);
use POSIX                    ();
use Time::HiRes              qw(clock_gettime sleep CLOCK_MONOTONIC);

my $WRITERS  = 6;     # that work alone
my $RACERS   = 2;     # that race for each other's tickets
my $CHECKERS = 4;
my $OPEN     = 4;     # sessions that a writer has before it ends one
my $PATIENCE = 10;    # seconds, for a write after a promotion
my $AFTER    = 7;     # seconds that an ended session is checked
my $PAIR     = 80;    # bytes of a ticket and token
my $ended    = 0;     # does this client end?
my $test;             # the process of the test
my %REQUEST = ( service => 'cpanel', address => '192.0.2.1' );

# The faults by name: functions of the cluster that return one that ends it. Those of a
# primary want another primary.
my %FAULT = (
    'primary killed'                                 => _primary('kill9'),
    'primary stopped'                                => _primary( 'stop',               'cont' ),
    'primary cut off from standbys'                  => _primary( 'isolate_from_nodes', 'heal' ),
    'primary cut off from standbys and some clients' =>
        _primary( 'isolate_from_nodes_and_others', 'heal' ),
    'primary cut off from all'            => _primary( 'isolate', 'heal' ),
    'standby killed'                      => _standby( 'kill9',   'start' ),
    'standby stopped'                     => _standby( 'stop',    'cont' ),
    'standby cut off'                     => _standby( 'isolate', 'heal' ),
    'primary killed, a standby is behind' => { fault => \&_fall_behind, fails_over => 1 },
    'standby lags, the other stalls'      => { fault => \&_lag,         fails_over => 1 },
);
sub faults { my @names = sort keys %FAULT; return @names }

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# The accounts of a site for trials.
my @SHARED = qw(shared1 shared2);

sub _own {
    my ($client) = @_;
    return map { "$client-$_" } 1 .. 20;
}

sub _clients {
    return map { "w$_" } 1 .. $WRITERS + $RACERS;
}

sub accounts {
    return map { $_ => 'secret' } @SHARED, map { _own($_) } _clients();
}

sub settings {
    return ( store_alone => 'no', log => 'none', sessions_max => 10_000, session_max => 86_400 );
}

sub _primary {
    my ( $fault, $end ) = @_;
    my $function = sub {
        my ($cluster) = @_;
        my $name = $cluster->primary->{name};
        $cluster->$fault($name);
        return sub { return $end && $cluster->$end($name) };
    };
    return { fault => $function, fails_over => 1 };
}

sub _standby {
    my ( $fault, $end ) = @_;
    my $function = sub {
        my ($cluster) = @_;
        my ($name)    = $cluster->standbys;
        $cluster->$fault($name);
        return sub { return $cluster->$end($name) };
    };
    return { fault => $function };
}

# One standby lags, the other one stalls, the first begins to receive again what it has
# missed, and then the primary is killed.
sub _lag {
    my ($cluster) = @_;
    my ( $late, $other ) = $cluster->standbys;
    my $primary = $cluster->primary->{name};
    my $end     = $cluster->lag($late);
    sleep 1;
    $cluster->stop($other);
    $end->();
    sleep 0.1;
    $cluster->kill9($primary);
    $cluster->cont($other);
    return sub { return };
}

# One standby receives nothing for a second, and then the primary is killed. What is still
# on its way to the standby must not arrive.
sub _fall_behind {
    my ($cluster) = @_;
    my ( undef, $late ) = $cluster->standbys;
    $cluster->isolate_from_nodes($late);
    sleep 1;
    $cluster->kill9( $cluster->primary->{name} );
    $cluster->follow_nobody($late);
    $cluster->heal($late);
    return sub { return };
}

# Runs one. Arguments: cluster; site, whose accounts are accounts(); fault, its name; and
# perhaps before, lasts and after, the seconds before it, until it ends and behind that; least,
# for a wrong failover (see Cluster). Returns a hash: events; violations, and how many by
# each rule; logouts, the number of those acknowledged; writable, the seconds from the
# beginning of the promotion to the first write that is acknowledged after it; gap, the
# longest time without a write; and took, the seconds of the failover itself.
sub trial {
    my (%given) = @_;
    my $cluster = $given{cluster};
    my $fault   = $FAULT{ $given{fault} } // croak "no fault $given{fault}";
    my $record  = File::Temp->new;
    my $clients = _start_clients( $given{site}, $cluster, $record->filename );
    _wait_for_logouts( $record->filename, 10 );
    sleep( $given{before} // 1 );
    my $begun     = now();
    my $end       = $fault->{fault}->($cluster);
    my $promotion = $fault->{fails_over} ? $cluster->fail_over( least => $given{least} ) : now();
    my $took      = now() - $begun;
    sleep( $given{lasts} // 3 );
    _wait_for_write( $record->filename, $promotion );
    $end->();
    sleep( $given{after} // 1.5 );
    my $ended_at = now();
    _end_clients($clients);
    my @events = _read( $record->filename );
    $cluster->restore;
    push @events, _look_again(@events);
    my @writes  = ( _writes(@events), $ended_at );
    my @wrong   = violations(@events);
    my ($first) = grep { $_ > $promotion && $_ < $ended_at } @writes;
    return {
        events     => \@events,
        violations => \@wrong,
        %{ counts(@wrong) },
        logouts  => scalar( grep { $_->{kind} eq 'logout' && $_->{outcome} eq 'yes' } @events ),
        writable => defined $first ? $first - $promotion : undef,
        gap      => max( map { $writes[$_] - $writes[ $_ - 1 ] } 1 .. $#writes ),
        took     => $took,
    };
}

# Until one is acknowledged that ends after that time, but not for ever.
sub _wait_for_write {
    my ( $path, $after ) = @_;
    my $until = $after + $PATIENCE;
    sleep 0.2 while now() < $until && !grep { $_ > $after } _writes( _read($path) );
    return;
}

# When writes were acknowledged, in order.
sub _writes {
    my (@events) = @_;
    my @done     = grep { $_->{outcome} eq 'yes' && $_->{kind} ne 'check' } @events;
    my @times    = sort { $a <=> $b } map { $_->{end} } @done;
    return @times;
}

# In lines, so that several processes can append at once.
my @FIELDS = qw(kind client start end outcome session ticket browser cookie token);

sub _recorder {
    my ( $path, $client ) = @_;
    open my $file, '>>', $path or croak "$path: $!";
    return sub {
        my ( $kind, $start, $outcome, %more ) = @_;
        my %event = (
            %more,
            kind    => $kind,
            client  => $client,
            start   => $start,
            end     => now(),
            outcome => $outcome
        );
        syswrite $file, join( "\t", map { $event{$_} // q{} } @FIELDS ) . "\n";
        return;
    };
}

sub _event {
    my ($line) = @_;
    chomp $line;
    my %event;
    @event{@FIELDS} = split /\t/, $line, -1;
    delete @event{ grep { $event{$_} eq q{} } @FIELDS };
    return \%event;
}

sub _read {
    my ($path) = @_;
    open my $file, '<', $path or croak "$path: $!";
    return map { _event($_) } grep { /\n\z/ } readline $file;
}

# What a call has answered.
sub _outcome {
    my ( $session, $reason ) = @_;
    return $session ? 'yes' : $reason eq 'fault' ? 'unknown' : 'no';
}

# Every second client reaches the servers by another network.
sub _settings_of_others {
    my ( $site, $cluster ) = @_;
    open my $file, '<', $site->conf or croak "settings: $!";
    my $text = join q{}, readline $file;
    my $path = $site->dir . '/others.conf';
    $site->write_file( $path, $cluster->url_of_others($text) );
    my $old = time - 10;
    utime $old, $old, $path;    # a file that is younger would not be read yet
    return $path;
}

sub _wait_for_logouts {
    my ( $path, $wanted ) = @_;
    my $until = now() + 60;
    while ( now() < $until ) {
        return if $wanted <= grep { $_->{kind} eq 'logout' } _read($path);
        sleep 0.2;
    }
    croak 'the clients do not work';
}

sub _start_clients {
    my ( $site, $cluster, $path ) = @_;
    my $other = _settings_of_others( $site, $cluster );
    $test = $$;
    pipe my $reader, my $writer or croak "pipe: $!";
    $writer->autoflush;
    my @names  = _clients();
    my $first  = $names[$WRITERS];
    my $second = $names[ $WRITERS + 1 ];
    my %job    = map { ( $_ => \&_write_for_ever ) } @names[ 0 .. $WRITERS - 1 ];
    $job{"c$_"}   = \&_check_for_ever for 1 .. $CHECKERS;
    $job{$first}  = sub { return _race_for_ever( @_, $writer ) };
    $job{$second} = sub { return _follow_races( @_, $reader ) };
    my @pids;

    for my $client ( sort keys %job ) {
        my $pid = fork // croak "fork: $!";
        if ( !$pid ) {
            local $SIG{TERM}         = sub { $ended = 1 };
            local $ENV{LOGMEIN_CONF} = $client =~ /[02468]\z/ ? $other : $ENV{LOGMEIN_CONF};
            srand $$;
            my $done = eval { $job{$client}->( $client, $path ); 1 } or warn $@;
            POSIX::_exit( $done ? 0 : 1 );
        }
        push @pids, $pid;
    }
    return \@pids;
}

# Each ends when it has recorded what it is at.
sub _end_clients {
    my ($pids) = @_;
    local $? = 0;
    kill TERM => @{$pids};
    for my $pid ( @{$pids} ) {
        waitpid $pid, 0;
        croak 'a client has failed' if $? != 0;
    }
    return;
}

# Not without the test, however that has ended.
sub _goes_on { return !$ended && getppid == $test }

sub _one_of { my (@list) = @_; return $list[ rand @list ] }

# A login as one of the client's users, or as one that others are, too: ticket and token.
sub _log_in {
    my ( $sessions, $client, $record ) = @_;
    my $user   = rand() < 0.2 ? _one_of(@SHARED) : _one_of( _own($client) );
    my $start  = now();
    my $answer = $sessions->log_in_by_url(
        user        => $user,
        pass        => 'secret',
        service     => 'cpanel',
        hostname    => 'localhost',
        remote_addr => '192.0.2.1'
    );
    return _nap() if !$answer->{login_ok};
    my ($ticket) = $answer->{url} =~ /session=(lmt_[\w-]+)/ or croak "no ticket: $answer->{url}";
    $record->( 'login', $start, 'yes', ticket => $ticket );
    return ( $ticket, $answer->{token} );
}

sub _nap { sleep 0.2; return }

# The session, with its token.
sub _redeem {
    my ( $sessions, $client, $record, $ticket, $token ) = @_;
    my $start = now();
    my ( $session, $reason ) =
        $sessions->redeem( %REQUEST, ticket => $ticket, token => $token, agent => $client );
    my $outcome = _outcome( $session, $reason );
    my %seen    = ( ticket => $ticket, browser => $client );
    %seen = ( %seen, session => $session->{id}, cookie => $session->{cookie}, token => $token )
        if $session;
    $record->( 'redeem', $start, $outcome, %seen );
    return _nap() if $outcome eq 'unknown';
    return $session && { id => $session->{id}, cookie => $session->{cookie}, token => $token };
}

sub _log_out {
    my ( $sessions, $record, $session ) = @_;
    my $start = now();
    my @answer =
        $sessions->end( %REQUEST, token => $session->{token}, cookie => $session->{cookie} );
    my $outcome = _outcome(@answer);
    $record->( 'logout', $start, $outcome, session => $session->{id} );
    return _nap() if $outcome eq 'unknown';
    return;
}

# Logs in again and again. Of the sessions it keeps every fourth, and ends the others some
# logins later.
sub _write_for_ever {
    my ( $client, $path ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $record   = _recorder( $path, $client );
    my @open;
    while ( _goes_on() ) {
        my ( $ticket, $token ) = _log_in( $sessions, $client, $record ) or next;
        my $session = _redeem( $sessions, $client, $record, $ticket, $token ) or next;
        push @open, $session if rand() < 0.75;
        _log_out( $sessions, $record, shift @open ) if @open > $OPEN;
    }
    return;
}

# Two that redeem each ticket of the first at the same time; who is granted logs out.
sub _race_for_ever {
    my ( $client, $path, $other ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $record   = _recorder( $path, $client );
    while ( _goes_on() ) {
        my ( $ticket, $token ) = _log_in( $sessions, $client, $record ) or next;
        syswrite $other, sprintf "%-${PAIR}s", "$ticket $token";
        my $session = _redeem( $sessions, $client, $record, $ticket, $token );
        _log_out( $sessions, $record, $session ) if $session;
        sleep 0.02;
    }
    return;
}

sub _follow_races {
    my ( $client, $path, $in ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $record   = _recorder( $path, $client );
    while ( _goes_on() ) {
        IO::Select->new($in)->can_read(0.5) or next;
        sysread $in, my $pair, $PAIR or next;
        my ( $ticket, $token ) = split q{ }, $pair;
        my $session = _redeem( $sessions, $client, $record, $ticket, $token );
        _log_out( $sessions, $record, $session ) if $session;
    }
    return;
}

# What has been recorded since the last call; whole lines.
sub _new_events {
    my ($file) = @_;
    seek $file, 0, 1;
    my @lines = readline $file;
    seek $file, -length pop @lines, 1 if @lines && $lines[-1] !~ /\n\z/;
    return map { _event($_) } @lines;
}

# Checks what the others have opened, and for some seconds what they have ended.
sub _check_for_ever {
    my ( $client, $path ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $record   = _recorder( $path, $client );
    open my $file, '<', $path or croak "$path: $!";
    my ( %open, %ended );
    while ( _goes_on() ) {
        for my $event ( _new_events($file) ) {
            my $id = $event->{session} // next;
            if    ( $event->{cookie} ) { $open{$id} = $event }
            elsif ( $event->{kind} eq 'logout' && $open{$id} ) {
                $ended{$id} = { %{ delete $open{$id} }, at => $event->{end} };
            }
        }
        delete @ended{ grep { $ended{$_}{at} < now() - $AFTER } keys %ended };
        my $which   = %ended && rand() < 0.7 ? \%ended : \%open;
        my $session = $which->{ _one_of( keys %{$which} ) // q{} };
        if ($session) { _check( $sessions, $record, $session ) }
        else          { _nap() }
    }
    return;
}

sub _check {
    my ( $sessions, $record, $session ) = @_;
    my $start   = now();
    my @answer  = $sessions->check( %REQUEST, map { $_ => $session->{$_} } qw(token cookie) );
    my $outcome = _outcome(@answer);
    $record->( 'check', $start, $outcome, session => $session->{session} );
    return _nap() if $outcome eq 'unknown';
    return;
}

# In the end, when all is well again, and no logout is too young to count: each session.
sub _look_again {
    my (@events) = @_;
    my $last     = max( 0, map { $_->{end} } grep { $_->{kind} eq 'logout' } @events );
    my $wait     = $last + $History::BOUND + 0.1 - now();
    sleep $wait if $wait > 0;
    my $file     = File::Temp->new;
    my $sessions = Cpanel::LogMeIn::Session->new;
    my $record   = _recorder( $file->filename, 'the last look' );
    _check( $sessions, $record, $_ ) for grep { $_->{cookie} } @events;
    return _read( $file->filename );
}

1;
