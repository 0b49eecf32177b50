package Machine;

# One of several machines that share a store: a host name of its own, settings, and a
# process that logs in and checks there, as a server does that stays open.

use strict;
use warnings;
use lib        qw(t/lib);
use Carp       qw(croak);
use IPC::Open2 qw(open2);
use JSON::PP   ();

# Why there can be none here; nothing if there can.
sub lacks {
    return 'no host name of its own for a process: needs root' if system('unshare -u true') != 0;
    return;
}

# conf is its settings file.
sub new {
    my ( $class, $name, $conf ) = @_;
    return bless { name => $name, conf => $conf }, $class;
}

sub _command {
    my ( $self, @command ) = @_;
    return (
        qw(unshare -u env),
        "LOGMEIN_CONF=$self->{conf}", qw(sh -c), 'hostname "$0" && exec "$@"',
        $self->{name},                $^X,       @command
    );
}

# Its own `logmein`: the status, and all that it says, in one line.
sub logmein {
    my ( $self, @arguments ) = @_;
    my $pid = open( my $out, '-|' ) // croak "fork: $!";
    if ( !$pid ) {
        open STDERR, '>&', \*STDOUT or exit 126;
        exec $self->_command( qw(-Iblib/arch -Iblib/lib blib/script/logmein), @arguments )
            or exit 126;
    }
    local $/ = undef;
    my $said = readline $out;
    close $out;    # its status is the answer
    return ( $? >> 8, $said =~ s/\s+/ /gr );
}

# Asks the process, which is started when it is needed first: login, redeem,
# check or is_known.
sub ask {
    my ( $self, $verb, %with ) = @_;
    if ( ( $self->{owner} // 0 ) != $$ ) {
        my @perl = qw(-Iblib/arch -Iblib/lib -Ixt/lib -MMachine -e Machine::serve());
        $self->{pid}   = open2( $self->{out}, $self->{in}, $self->_command(@perl) );
        $self->{owner} = $$;
    }
    my $json = JSON::PP->new->canonical;
    print { $self->{in} } $json->encode( [ $verb, %with ] ), "\n";
    $self->{in}->flush;
    my $line = readline $self->{out} // croak "machine $self->{name} ends";
    return $json->decode($line);
}

sub DESTROY {
    my ($self) = @_;
    return if ( $self->{owner} // 0 ) != $$;
    local $? = 0;
    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

# The process: a line of JSON for each that it reads. A check is done by a handle that
# stays open, with its settings, and by one that looks at once.
sub serve {
    require Test::Cpanel::LogMeIn;
    require Cpanel::LogMeIn::Session;
    my $kept = Cpanel::LogMeIn::Session->new;
    my %does = (
        login => sub {
            my (%with)   = @_;
            my %ask      = ( user => 'alice', pass => 'secret', service => 'cpanel', %with );
            my @answer   = Cpanel::LogMeIn::get_loggedin_url( hostname => 'localhost', %ask );
            my ($ticket) = Test::Cpanel::LogMeIn::parse_url( $answer[2] // q{} );
            return {
                ok     => $answer[0],
                said   => "$answer[1] $Cpanel::LogMeIn::detail",
                ticket => $ticket,
                token  => $answer[3]
            };
        },
        redeem => sub {
            my (%with) = @_;
            my ( $session, $reason ) = $kept->redeem( %with, service => 'cpanel' );
            return { reason => $reason, $session ? %{$session} : () };
        },
        check => sub {
            my (%with) = @_;
            my @reasons = map { ( $_->check( %with, service => 'cpanel' ) )[1] } $kept,
                'Cpanel::LogMeIn::Session';
            return { reason => join q{ }, @reasons };
        },
        is_known => sub {
            my (%with) = @_;
            return { known => Cpanel::LogMeIn::Session->is_known(%with) ? 1 : 0 };
        },
    );
    local $| = 1;
    while ( my $line = readline *STDIN ) {
        my ( $verb, %with ) = @{ JSON::PP::decode_json($line) };
        my $answer = eval { $does{$verb}->(%with) } // { said => "dies: $@" };
        print JSON::PP->new->allow_blessed->encode($answer), "\n";
    }
    return;
}

1;
