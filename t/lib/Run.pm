package Run;

# Runs the operator's command.

use strict;
use warnings;
use Exporter   qw(import);
use File::Temp ();
use IO::Handle ();
use POSIX      ();
use Test::More ();

our @EXPORT_OK = qw(answers forked has_terminal logmein);

# The same in a process that is forked from this one, which takes a tenth of the time. A
# hash reference before the arguments: stdin; and uid, whose rights root lays all others
# down for. (That user need not be able to read this checkout, which may be below /root.)
sub forked {
    my (@arguments) = @_;
    my %more        = ref $arguments[0] ? %{ shift @arguments } : ();
    my %file        = _files( $more{stdin} );
    require Cpanel::LogMeIn::Command;
    require JSON::PP;
    Cpanel::LogMeIn::Command::class_of( $arguments[0] );    # loaded while it can be read
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        _redirect(%file);
        _become( $more{uid} ) if defined $more{uid};
        my $status = Cpanel::LogMeIn::Command->main(@arguments);
        STDOUT->flush;
        STDERR->flush;
        POSIX::_exit($status);
    }
    return _answer( $pid, %file );
}

# Its status, out and err. A hash reference before the arguments: stdin; and env, a hash.
sub logmein {
    my (@arguments) = @_;
    my %more        = ref $arguments[0] ? %{ shift @arguments } : ();
    my %file        = _files( $more{stdin} );
    my $pid         = fork // die "fork: $!";
    if ( !$pid ) {
        local %ENV = ( %ENV, %{ $more{env} // {} } );
        _redirect(%file);
        exec $^X, qw(-Iblib/arch -Iblib/lib blib/script/logmein), @arguments;
    }
    return _answer( $pid, %file );
}

# Two tests: it exits with this status, and what it says, with one space in the place of
# several, matches this text.
sub answers {
    my ( $status, $text, $name, @arguments ) = @_;
    my $answer = logmein(@arguments);
    my $said   = "$answer->{out}$answer->{err}" =~ s/\s+/ /gr;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is( $answer->{status}, $status, $name );
    return Test::More::like( $said, $text, '... and says so' );
}

sub _files {
    my ($stdin) = @_;
    my %file = map { $_ => File::Temp->new } qw(in out err);
    print { $file{in} } $stdin // q{};
    $file{in}->flush;
    return %file;
}

sub _redirect {
    my (%file) = @_;
    open STDIN,  '<',  $file{in}->filename  or POSIX::_exit(126);
    open STDOUT, '>&', fileno( $file{out} ) or POSIX::_exit(126);
    open STDERR, '>&', fileno( $file{err} ) or POSIX::_exit(126);
    return;
}

sub _answer {
    my ( $pid, %file ) = @_;
    waitpid $pid, 0;
    my $status = $? >> 8 || ( $? ? "signal $?" : 0 );
    return { status => $status, map { $_ => _text_of( $file{$_}->filename ) } qw(out err) };
}

sub _become {
    my ($uid) = @_;
    $) = "$uid $uid";    ## no critic (RequireLocalizedPunctuationVars)
    POSIX::setgid($uid);
    POSIX::setuid($uid);
    POSIX::_exit(126) if $> != $uid || $< != $uid;
    return;
}

sub _text_of {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/ = undef;
    return scalar readline($file) // q{};
}

# Can script(1) give a program a terminal here? Some containers have none to give.
sub has_terminal { return system('script -qec true /dev/null >/dev/null 2>&1 </dev/null') == 0 }

1;
