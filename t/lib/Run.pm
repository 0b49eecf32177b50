package Run;

# Runs the operator's command.

use strict;
use warnings;
use Exporter   qw(import);
use File::Temp ();
use IO::Handle ();
use POSIX      ();

our @EXPORT_OK = qw(forked has_terminal logmein);

# The same in a process that is forked from this one, which takes a tenth of the time. A
# hash reference before the arguments: uid, whose rights it has.
sub forked {
    my (@arguments) = @_;
    my %more        = ref $arguments[0] ? %{ shift @arguments } : ();
    my %file        = map { $_ => File::Temp->new } qw(out err);
    require Cpanel::LogMeIn::Command;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        open STDIN,  '<',  '/dev/null'          or POSIX::_exit(126);
        open STDOUT, '>&', fileno( $file{out} ) or POSIX::_exit(126);
        open STDERR, '>&', fileno( $file{err} ) or POSIX::_exit(126);
        if ( $more{uid} ) {
            POSIX::setgid( $more{uid} );
            POSIX::setuid( $more{uid} );
        }
        my $status = Cpanel::LogMeIn::Command->main(@arguments);
        STDOUT->flush;
        STDERR->flush;
        POSIX::_exit($status);
    }
    waitpid $pid, 0;
    my $status = $? >> 8 || ( $? ? "signal $?" : 0 );
    return { status => $status, map { $_ => _text_of( $file{$_}->filename ) } qw(out err) };
}

# Its status, out and err. A hash reference before the arguments: stdin; env, a hash; and
# uid, whose rights root lays all others down for.
sub logmein {
    my (@arguments) = @_;
    my %more        = ref $arguments[0] ? %{ shift @arguments } : ();
    my %file        = map { $_ => File::Temp->new } qw(in out err);
    print { $file{in} } $more{stdin} // q{};
    $file{in}->flush;
    my $pid = fork // die "fork: $!";
    if ( !$pid ) {
        local %ENV = ( %ENV, %{ $more{env} // {} } );
        open STDIN,  '<', $file{in}->filename  or POSIX::_exit(126);
        open STDOUT, '>', $file{out}->filename or POSIX::_exit(126);
        open STDERR, '>', $file{err}->filename or POSIX::_exit(126);
        _become( $more{uid} ) if defined $more{uid};
        exec $^X, qw(-Iblib/arch -Iblib/lib blib/script/logmein), @arguments;
    }
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
