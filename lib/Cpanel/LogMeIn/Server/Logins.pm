package Cpanel::LogMeIn::Server::Logins;

use strict;
use warnings;
use AnyEvent                        ();
use Cpanel::LogMeIn::Server::Answer ();
use List::Util                      qw(first);
use Plack::App::LogMeIn::Slots      ();
use Plack::Util                     ();
use POSIX                           ();

our $VERSION = '0.01';

# The logins of a worker that wait for a processor. Each runs in a process of its own,
# so that the worker can answer other requests meanwhile.

my $PATIENCE   = 5;       # seconds to wait for a slot
my $LOGIN_MAX  = 30;      # seconds for a login itself
my $QUEUE_MAX  = 512;     # logins
my $SOURCE_MAX = 8;       # logins of one source, waiting and running
my $POLL       = 0.02;    # seconds
my $NICE       = 5;

# Arguments: app, slots (a Plack::App::LogMeIn::Slots), begin (called in each new
# process, with the connection that is its own).
sub new {
    my ( $class, %argument ) = @_;
    return bless { %argument, queue => [], running => {} }, $class;
}

sub is_idle {
    my ($self) = @_;
    return !@{ $self->{queue} } && !%{ $self->{running} };
}

# A login: its environment, and
#   source   whose it is; known: has this name logged in from there before
#   done     called with the bytes of the answer
#   refused  called if there is no place for it
#   is_gone  tells whether its client has left
sub add {
    my ( $self, $env, %login ) = @_;
    my $of_source = grep { $_->{source} eq $login{source} } @{ $self->{queue} },
        values %{ $self->{running} };
    return $login{refused}->()
        if $of_source >= $SOURCE_MAX || ( @{ $self->{queue} } >= $QUEUE_MAX && !$login{known} );
    push @{ $self->{queue} }, { %login, env => $env, until => AE::now() + $PATIENCE };
    return $self->_go_on;
}

# Begins what there are slots for, and looks again in a moment if others wait. If
# slots can't be used, the store can't either: the login itself finds the fault.
sub _go_on {
    my ($self) = @_;
    $self->_end_late;
    while ( defined( my $index = $self->_next ) ) {
        my $slot;
        my $usable = eval { $slot = $self->{slots}->take_now( $self->{queue}[$index]{known} ); 1 };
        last if $usable && !$slot;
        $self->_start( splice( @{ $self->{queue} }, $index, 1 ), $slot );
    }
    my $known = first { $_->{known} } @{ $self->{queue} };
    eval { $self->{slots}->give_way( !$known ) };
    $self->{poll} =
        @{ $self->{queue} }
        ? AE::timer( $POLL * ( 0.5 + rand ), 0, sub { $self->_go_on } )
        : undef;
    return;
}

sub _end_late {
    my ($self) = @_;
    my @queue  = grep { !$_->{is_gone}->() } @{ $self->{queue} };
    my $now    = AE::now();
    $self->{queue} = [ grep { $_->{until} > $now } @queue ];
    $_->{refused}->() for grep { $_->{until} <= $now } @queue;
    return;
}

# The position of the login whose turn it is: known sources first, then those of which
# the fewest logins run, then the oldest.
sub _next {
    my ($self) = @_;
    my ( $best, @best );
    my %runs;
    $runs{ $_->{source} }++ for values %{ $self->{running} };
    for my $index ( 0 .. $#{ $self->{queue} } ) {
        my $login = $self->{queue}[$index];
        my @order = ( $login->{known} ? 0 : 1, $runs{ $login->{source} } // 0 );
        next
            if defined $best
            && ( $order[0] > $best[0] || ( $order[0] == $best[0] && $order[1] >= $best[1] ) );
        ( $best, @best ) = ( $index, @order );
    }
    return $best;
}

sub _start {
    my ( $self, $login, $slot ) = @_;
    pipe my $reader, my $writer or return $login->{refused}->();
    my $pid = fork // return $login->{refused}->();
    $self->_run( $login, $slot, $writer ) if !$pid;
    close $writer or return;
    $self->{running}{$pid} = $login;
    $login->{bytes}        = q{};
    $login->{limit}        = AE::timer( $LOGIN_MAX, 0, sub { kill KILL => $pid } );
    $login->{reader}       = AE::io(
        $reader, 0,
        sub {
            my $got = sysread $reader, $login->{bytes}, 65_536, length $login->{bytes};
            $self->_have_ended($pid) if defined $got ? !$got : !$!{EINTR} && !$!{EAGAIN};
        }
    );
    return;
}

sub _have_ended {
    my ( $self, $pid ) = @_;
    my $login = delete $self->{running}{$pid};
    delete @{$login}{qw(reader limit)};
    waitpid $pid, 0;
    $login->{done}->( delete $login->{bytes} );
    return $self->_go_on;
}

# In the new process. It holds the slot until it ends.
sub _run {
    my ( $self, $login, $slot, $writer ) = @_;
    ## no critic (RequireLocalizedPunctuationVars)
    $SIG{$_} = 'DEFAULT' for qw(TERM INT QUIT HUP);
    $0 = 'logmein serve (login)';
    POSIX::nice($NICE);
    $self->{begin}->( $login->{env}{'psgix.io'} );
    $self->{slots}->give_way(1);
    my $env = $login->{env};
    $env->{'logmein.slot'} = $slot if $slot;
    my $bytes = eval {
        my $response = Plack::Util::run_app( $self->{app}, $env );
        my $answer   = Cpanel::LogMeIn::Server::Answer->new( $env, $response, 0 );
        my $all      = q{};
        while ( defined( my $part = $answer->next_part ) ) { $all .= $part }
        $all;
    } // q{};
    while ( length $bytes ) {
        my $sent = syswrite $writer, $bytes;
        last if !defined $sent;
        substr $bytes, 0, $sent, q{};
    }
    return POSIX::_exit(0);
}

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Server::Logins - the queue of logins

=head1 DESCRIPTION

Internal to L<Cpanel::LogMeIn::Server>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
